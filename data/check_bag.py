"""Checks the ledger of a bag that `chatvault export --format bagit` made: python3 check_bag.py BAG [HEAD-HASH ...]"""
import hashlib, json, os, re, sys
def sha(data): return hashlib.sha256(data).hexdigest()
def need(holds, otherwise): holds or sys.exit(f"REFUSED: {otherwise}")
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
def load(name): return open(os.path.join(bag, "data/ledger", name), encoding="utf-8")
def root(leaf, path):  # RFC 6962: a zero byte before a leaf, a one byte before a pair
    node = sha(b"\0" + bytes.fromhex(leaf))
    for step in path:
        node = sha(b"\1" + bytes.fromhex(step["left"] + node if "left" in step else node + step["right"]))
    return node
bag, heads = sys.argv[1], set(sys.argv[2:])
note, rows = json.load(load("export.json")), iter(load("files.ndjson"))
row, last, previous, roots, hashes, files, untied = json.loads(next(rows)), 0, "0" * 64, set(), set(), 0, 0
for line in load("events.ndjson"):
    event = json.loads(line)
    fields = [str(event[name]) for name in ("seq", "time_ms", "actor", "kind", "payload", "prev_hash")]
    text = "".join(f"{field}\n" for field in ["chatvault-event-1", *fields])
    need(text.count("\n") == 7 and sha(text.encode()) == event["hash"], f"event {event['seq']} does not have its hash")
    if note["scope"] == "archive":  # the whole chain: each event follows from the one before
        need(event["seq"] == last + 1 and event["prev_hash"] == previous, f"event {event['seq']} does not follow")
    elif event["seq"] == note["head"]["seq"]:
        need(roots <= {json.loads(event["payload"]).get("tree")}, "the events are not in the tree of the head")
    elif "tree" in event:
        roots.add(root(event["hash"], event["tree"]["path"]))
    else:
        untied += 1
    last, previous = event["seq"], event["hash"]
    hashes |= heads & {event["hash"]} | ({event["hash"]} if last == note["head"]["seq"] else set())
    if row and last == row["event_seq"]:  # this event published the next file: every column, and the bytes
        payload, body = json.loads(event["payload"]), open(os.path.join(bag, row["payload"]), "rb").read()
        for name in payload.keys() - {"adopted"}:
            need(canonical(payload[name]) == canonical(row[name]), f"{row['payload']}: {name} is not that of event {last}")
        published = event["kind"] in ("fetched", "imported") and event["time_ms"] == row["stored_at_ms"]
        need(published, f"event {last} did not publish {row['payload']} at that time")
        need((sha(body), len(body)) == (row["sha256"], row["size_bytes"]), f"{row['payload']} has other bytes")
        row, files = json.loads(next(rows, "null")), files + 1
need(row is None and files == note["files"] and untied == note["untied"], "files without an event")
need(len(roots) <= 1 and (not roots and note["scope"] == "files" or note["head"]["hash"] in hashes), "no way to the head")
need(heads <= hashes, "the head that was written down is not among the events")
print(f"accepted: {files} file(s) of account {note['account_id']}, {untied} not tied, head {note['head']['seq']} {note['head']['hash']}")
