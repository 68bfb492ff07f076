#!/usr/bin/env python3
"""Makes the sample files beside it. All text is invented. Needs PyPI `fastavro` (run once; the files are committed)."""
import gzip, io, json, os, zipfile
import fastavro

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = "com.liveperson.dataaccess."


def put(name, data):
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(data)


def squeezed(data):
    return gzip.compress(data, 9, mtime=0)


def conversation(ident, text, **more):
    line = {"text": text, "timestamp": 1467853201000, "by": "Visitor", "type": "0", "agentId": "0"}
    reply = {"text": "<p>On its <b>way</b> &amp; soon</p>", "timestamp": 1467853202000, "by": "Ann", "type": "4",
             "agentId": "9001"}
    fields = {"type": "LIVE_CHAT", "conversationId": ident, "conversationStartTime": 1467853200000,
              "interactionStartTime": 1467853200500, "conversationEndTime": 1467853260000, "endReasonId": 205,
              "agentId": "9001", "skillId": "3", "skills": [3], "mcs": 44, "transcripts": [line, reply],
              "transfers": [{"timestamp": "1467853230000", "skillId": 3, "targetSkillId": 4, "reason": 1}]}
    return {**fields, **more}


def record(*conversations, wrap=None):
    wrap = wrap or (lambda branch, value: value)
    return {"dataType": "Engagement",
            "metaData": wrap(TOP + "MetaData", {"accountId": "75555851", "startTime": 1467853200000,
                                                "endTime": 1467856800000, "schemaVersion": "1.0.0.22"}),
            "recordCollection": wrap("array", [{"body": wrap(TOP + "EngagementData", {
                "header": wrap(TOP + "Header", {"visitId": "v1", "visitorId": "", "contextId": "c"}),
                "engagements": wrap("array", [wrap(TOP + "Conversation", one) for one in conversations])})}])}


def wrapped(value, branch=None):
    """Every value in its union branch, as Avro's JSON encoding writes optional fields."""
    if isinstance(value, dict):
        return {key: wrapped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return {"array": [{TOP + "Entry": wrapped(item)} if isinstance(item, dict) else wrapped(item) for item in value]}
    kind = {str: "string", bool: "boolean", int: "long" if isinstance(value, int) and abs(value) > 2**31 else "int",
            float: "double", type(None): None}[type(value)]
    return value if kind is None else {kind: value}


def lines(*records):
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records).encode()


branch = lambda name, value: {name: value}
plain = record(conversation("75555851-1", "my refund, please"))
everywhere = record(wrapped(conversation("75555851-2", "un café, s'il vous plaît")), wrap=branch)
put("wrapped-everywhere.json", json.dumps(everywhere, ensure_ascii=False).encode())
put("wrapped-nowhere.json", lines(plain))
put("bom-and-pretty.json", b"\xef\xbb\xbf" + json.dumps(plain, indent=2).encode() + b"\r\n\r\n" +
    json.dumps(everywhere, indent="\t").encode())
put("back-to-back.json", lines(plain).strip() + lines(everywhere).strip() + b" " + lines(plain).strip())
put("document.json", lines(record(conversation("75555851-3", "one"), conversation("75555851-4", "two"))))
big = lines(record(conversation("BIG", "big ids", consumerId="BIG2", visitorId=None))).replace(
    b'"BIG"', b"755558514295264942188888").replace(b'"BIG2"', b"18446744073709551617")
put("big-ids-as-numbers.json", big)
put("null-everywhere.json", lines(record({key: None for key in conversation("", "")}),
                                  {"dataType": None, "metaData": None, "recordCollection": None},
                                  record(conversation("75555851-5", None, transcripts=[None, {"text": None}])),
                                  plain))
put("surrogates-and-controls.json",
    lines(record(conversation("75555851-6", "SUR"))).replace(b"SUR", rb"pair \ud83d\ude00 lone \ud83d and \udc00 end") +
    lines(record(conversation("75555851-7", "CTL"))).replace(b"CTL", b"bell \x07 tab \t esc \x1b[31m nul \\u0000") +
    lines(record(conversation("75555851-8", "BAD"))).replace(b"BAD", b"not UTF-8 \xff\xfe here"))
put("one-broken-among-good.ndjson", lines(plain) + b'{"dataType":"Engagement","recordCollection":[{"body":{"enga\n' +
    lines(record(conversation("75555851-9", "after the broken one"))))
put("deep.json", lines(plain) + b'{"dataType":"Engagement","recordCollection":' + b"[" * 5000 + b"]" * 5000 + b"}\n" +
    lines(record(conversation("75555851-10", "after the deep one"))))
put("unknown-fields.json", lines(record(conversation("75555851-11", "x", newField={"a": [1, 2]}, EndReasonId=201))))
put("twice.gz", squeezed(lines(plain)) + squeezed(lines(record(conversation("75555851-12", "second member")))))
put("gzip-in-gzip.gz", squeezed(squeezed(lines(plain))))
put("truncated.gz", squeezed(lines(*[record(conversation(f"75555851-{n}", f"text {n} " * 40)) for n in range(200)]))[:900])
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
    for name, data in [("first.json", lines(plain)), ("second.gz", squeezed(lines(everywhere)))]:
        out.writestr(zipfile.ZipInfo(name, (2016, 7, 7, 0, 0, 0)), data)
put("two-entries.zip", archive.getvalue())


def optional(kind):
    return ["null", kind]


def struct(name, **fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def listed(item):
    return optional({"type": "array", "items": item})


schema = struct(
    "EngagementRecord", dataType="string",
    metaData=optional(struct("MetaData", accountId=optional("string"), endTime=optional("long"))),
    recordCollection=listed(struct("Entry", body=optional(struct(
        "EngagementData", engagements=listed(struct(
            "Conversation", type=optional("string"), conversationId=optional("string"),
            conversationStartTime=optional("long"), conversationEndTime=optional("long"), endReasonId=optional("int"),
            skills=listed("int"), mcs=optional("double"), transcripts=listed(struct(
                "Line", text=optional("string"), timestamp=optional("long"), by=optional("string"),
                type=optional("string"), agentId=optional("string"))))))))))
rows = [record(conversation(f"75555851-2{n}", f"from Avro {n}: déjà vu 返金"), conversation(f"75555851-3{n}", "two"))
        for n in range(3)]
for codec in ["null", "deflate"]:
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), rows, codec=codec, sync_marker=b"0123456789abcdef")
    put(f"engagements-{codec}.avro", out.getvalue())
