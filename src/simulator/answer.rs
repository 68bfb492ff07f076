//! JSON answers other than data files: domain look-ups, base resource, listings, schema, errors.
//!
//! Shapes follow the documentation; where it is silent (error bodies, the empty range) the shape is
//! our guess and only the attested phrase can be relied on.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};

use super::calendar::{FileSpec, HOUR_MS};
use super::oauth::percent_encode;
use super::others::DataType;
use super::script::Fault;

/// Services the Domain API knows; all live at the API's host and port.
pub(super) const SERVICES: [&str; 8] = [
    "agentVep",
    "msgHist",
    "engHistDomain",
    "leDataReporting",
    "accountConfigReadOnly",
    "sentinel",
    "rtbf",
    "msgEwtAPI",
];

/// One service as a single object.
pub(super) fn service(name: &str, account: &str, host: &str) -> Value {
    json!({ "service": name, "account": account, "baseURI": host })
}

/// Several services as a list.
pub(super) fn services<'a>(names: impl Iterator<Item = &'a str>, account: &str, host: &str) -> Value {
    let all: Vec<Value> = names.map(|name| service(name, account, host)).collect();
    json!({ "baseURIs": all })
}

/// The base resource: links of the enabled streams.
pub(super) fn base_resource(account: &str, origin: &str) -> Value {
    let root = root(account, origin);
    let link = |path: &str, rel: &str| json!({ "@href": format!("{root}{path}"), "@rel": rel });
    json!({ "le": {
        "@accountId": account,
        "link": [link("", "self"), link("/engagement", "engagement"), link("/schema", "schema")],
    }})
}

/// A listing of files, changed by the faults that hit it. One file comes as an object.
pub(super) fn listing(account: &str, origin: &str, data_type: DataType, files: &[FileSpec], faults: &[Fault]) -> Value {
    let self_address = format!("{}/{}", root(account, origin), data_type.path());
    let mut entries: Vec<Value> = files.iter().map(|file| entry(file, data_type, &self_address)).collect();
    let mut shown_account = account.to_owned();
    for fault in faults {
        match fault {
            Fault::OtherAccount(other) => shown_account.clone_from(other),
            Fault::EvilName(name) => {
                let href = format!("{self_address}/{}", percent_encode(name));
                entries.push(additional(name, &href, files));
            }
            Fault::ForeignHost(href) => {
                let name = format!("{}.1772323200000.1772326800000.part-00009-0.gz", data_type.prefix());
                entries.push(additional(&name, href, files));
            }
            Fault::RepeatedEntry => entries.extend(entries.first().cloned()),
            _ => {}
        }
    }
    let file = if entries.len() == 1 { entries.remove(0) } else { Value::Array(entries) };
    json!({ "dataAccessFiles": {
        "@id": shown_account,
        "link": { "@href": self_address, "@rel": "self" },
        "file": file,
    }})
}

/// The login-style error object.
pub(super) fn error(status: u16, message: &str, now_ms: i64) -> Value {
    let name = match status {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        429 => "TOO_MANY_REQUESTS",
        503 => "SERVICE_UNAVAILABLE",
        _ => "INTERNAL_SERVER_ERROR",
    };
    let time = local(now_ms, 0, "%b %-d, %Y %-I:%M:%S %p");
    json!({ "error": {
        "time": time, "message": message, "internalCode": 0, "responseStatus": name,
    }})
}

/// A small Avro schema of the engagement record: the fields a reader cannot do without.
pub(super) fn schema(version: &str) -> Value {
    let optional = |branch: Value| json!(["null", branch]);
    let field = |name: &str, kind: Value| json!({ "name": name, "type": kind, "default": null });
    let array = |items: Value| json!({ "type": "array", "items": items });
    let record = |name: &str, fields: Vec<Value>| json!({ "type": "record", "name": name, "fields": fields });
    let text = || optional(json!("string"));
    let long = || optional(json!("long"));
    let message = ["text", "by", "type", "controlType", "agentId", "messageId", "dialogId"];
    let mut message: Vec<Value> = message.iter().map(|name| field(name, text())).collect();
    message.push(field("timestamp", long()));
    let conversation = record(
        "Conversation",
        vec![
            field("conversationId", text()),
            field("conversationStartTime", long()),
            field("conversationEndTime", long()),
            field("endReasonId", optional(json!("int"))),
            field("skills", optional(array(json!("long")))),
            field("transcripts", optional(array(record("Message", message)))),
        ],
    );
    let engagement = record("EngagementData", vec![field("engagements", optional(array(json!([conversation]))))]);
    let body = record("Record", vec![json!({ "name": "body", "type": [engagement] })]);
    let metadata = record(
        "MetaData",
        vec![
            field("accountId", text()),
            json!({ "name": "schemaVersion", "type": "string" }),
            field("startTime", long()),
            field("endTime", long()),
        ],
    );
    json!({
        "type": "record",
        "name": "DataAccessRecord",
        "namespace": "com.liveperson.dataaccess",
        "doc": format!("Simulated schema, version {version}"),
        "fields": [
            { "name": "dataType", "type": [{
                "type": "enum", "name": "DataTypeEnum",
                "symbols": ["AgentActivity", "WebSession", "Engagement", "Survey"],
            }]},
            field("metaData", optional(metadata)),
            field("recordCollection", optional(array(body))),
        ],
    })
}

fn root(account: &str, origin: &str) -> String {
    format!("{origin}/data_access_le/account/{account}/le")
}

/// One entry; some names lack `.gz` while the address has it.
fn entry(file: &FileSpec, data_type: DataType, self_address: &str) -> Value {
    let name = data_type.name_of(file);
    let bare = (file.start_ms / HOUR_MS + i64::from(file.part)) % 8 == 3;
    let shown = if bare { name.trim_end_matches(".gz") } else { &name };
    let href = format!("{self_address}/{name}");
    json!({
        "@name": shown,
        "@scopeStartDate": scope_date(file.start_ms),
        "@scopeEndDate": scope_date(file.end_ms),
        "@href": href,
    })
}

/// An entry that a script adds, with the scope of the first real one.
fn additional(name: &str, href: &str, files: &[FileSpec]) -> Value {
    let (start_ms, end_ms) = files.first().map_or((0, HOUR_MS), |file| (file.start_ms, file.end_ms));
    json!({
        "@name": name,
        "@scopeStartDate": scope_date(start_ms),
        "@scopeEndDate": scope_date(end_ms),
        "@href": href,
    })
}

/// The data centre's local time, as in the documentation's samples.
fn scope_date(instant_ms: i64) -> String {
    local(instant_ms, -4, "%Y-%m-%dT%H:%M:%S%:z")
}

pub(super) fn local(instant_ms: i64, offset_hours: i8, format: &str) -> String {
    let instant = Timestamp::from_millisecond(instant_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let zone = TimeZone::fixed(Offset::constant(offset_hours));
    instant.to_zoned(zone).strftime(format).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn scope_dates_equal_the_names_of_the_documentation() {
        assert_eq!(scope_date(1_718_010_000_000), "2024-06-10T05:00:00-04:00");
    }

    #[test]
    fn error_times_look_like_the_login_service() {
        let body = error(404, "No Available Files", 1_718_031_600_000);
        assert_eq!(body["error"]["time"], "Jun 10, 2024 3:00:00 PM");
    }

    #[test]
    fn the_schema_is_one_apache_avro_accepts() {
        apache_avro::Schema::parse(&schema("latest")).unwrap();
    }
}
