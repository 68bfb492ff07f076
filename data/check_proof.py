"""Checks what `chatvault audit prove` made: python3 check_proof.py PROOF [HEAD-HASH ...] [ARCHIVED-FILE ...]"""
import gzip, hashlib, json, re, sys
def sha(data): return hashlib.sha256(data).hexdigest()
def need(holds, otherwise): holds or sys.exit(f"REFUSED: {otherwise}")
def root(leaf, path):  # RFC 6962: a zero byte before a leaf, a one byte before a pair
    node = sha(b"\0" + bytes.fromhex(leaf))
    for step in path:
        node = sha(b"\1" + bytes.fromhex(step["left"] + node if "left" in step else node + step["right"]))
    return node
proof = json.load(open(sys.argv[1], encoding="utf-8"))
need(proof.pop("seal") == sha(json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()), "broken seal")
events = {event["seq"]: event for event in proof["events"]}
last, hashes = events[max(events)], {event["hash"] for event in events.values()}
need(len(events) == len(proof["events"]) and proof["records"], "an event is there twice, or no record")
need(proof["head"] == {"seq": last["seq"], "hash": last["hash"]}, "the events do not end at the head")
for seq, event in events.items():
    fields = [str(event[name]) for name in ("seq", "time_ms", "actor", "kind", "payload", "prev_hash")]
    text = "".join(f"{field}\n" for field in ["chatvault-event-1", *fields])
    need(text.count("\n") == 7 and sha(text.encode()) == event["hash"], f"event {seq} does not have its hash")
    tied = event is last or events.get(seq + 1, {}).get("prev_hash") == event["hash"]
    if "tree" in event:  # tied to an anchor behind it instead
        anchor, path = events[event["tree"]["anchor"]], event["tree"]["path"]
        tied = seq < anchor["seq"] and (anchor["kind"], json.loads(anchor["payload"])["tree"]) == ("anchored", root(event["hash"], path))
    need(tied, f"event {seq} is tied to no later one")
for record in proof["records"]:
    event, keys = events[record["event"]], [("path", "file"), ("sha256", "sha256"), ("size_bytes", "size_bytes")]
    same = all(json.loads(event["payload"])[there] == record[here] for there, here in keys)
    need(same and event["kind"] in ("fetched", "imported"), f"event {event['seq']} did not publish {record['file']}")
heads = {name for name in sys.argv[2:] if re.fullmatch("[0-9a-f]{64}", name)}
need(heads <= hashes, "the head that was written down is not among its events")
for name in set(sys.argv[2:]) - heads:
    file = open(name, "rb").read()
    named = [record for record in proof["records"] if record["sha256"] == sha(file)]
    need(named, f"the proof does not name the bytes of {name}")
    text = gzip.decompress(file) if file[:2] == b"\x1f\x8b" else file
    for record in (record for record in named if record["offset"] is not None):
        raw = text[record["offset"]:record["offset"] + record["record_bytes"]]
        need(sha(raw) == record["record_sha256"] and (proof["conversation_id"] or "").encode() in raw, f"other record in {name}")
print(f"accepted: {proof['key']}, {len(proof['records'])} record(s), head {last['seq']} {last['hash']}")
