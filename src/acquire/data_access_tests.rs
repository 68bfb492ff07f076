//! Listings in every form the reference names, and in the forms of "Bad input".

use super::*;

const START: i64 = 1_718_010_000_000;
const END: i64 = 1_718_013_600_000;
const HREF: &str = "https://va-a.da.liveperson.net/data_access_le/account/40112233/le/engagement/f.gz";

fn source() -> DataAccess {
    let base = DataAccess::host_of_region("va").unwrap();
    DataAccess::new(DataType::Engagement, "40112233", &base)
}

fn read_status(status: u16, body: &str) -> Result<Reading, AnswerProblem> {
    let source = source();
    let asked = source.first(Window { start_ms: START, end_ms: END });
    source.read(&asked, &Answer { status, content_type: None, body: body.as_bytes().to_vec() })
}

fn read(body: &str) -> Result<Reading, AnswerProblem> {
    read_status(200, body)
}

fn kind(body: &str) -> ProblemKind {
    read(body).unwrap_err().kind
}

fn name(part: u32) -> String {
    format!("Engagement.{START}.{END}.part-{part:05}-0.gz")
}

fn entry(name: &str) -> Value {
    serde_json::json!({
        "@name": name, "@href": HREF,
        "@scopeStartDate": "2024-06-10T05:00:00-04:00", "@scopeEndDate": "2024-06-10T06:00:00-04:00",
    })
}

fn listing(file: &Value) -> String {
    serde_json::json!({ "dataAccessFiles": { "@id": "40112233", "link": { "@rel": "self" }, "file": file } })
        .to_string()
}

fn names(reading: &Reading) -> Vec<&str> {
    reading.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn the_request_is_the_documented_one() {
    let asked = source().first(Window { start_ms: START, end_ms: END });
    assert_eq!(
        asked.url.as_str(),
        "https://va.da.liveperson.net/data_access_le/account/40112233/le/engagement\
         ?startTime=1718010000000&endTime=1718013600000"
    );
    assert_eq!(asked.accept, "application/json");
    let behind_a_path = Url::parse("https://gate.example.org/lp/").unwrap();
    let asked = DataAccess::new(DataType::AgentActivity, "7", &behind_a_path).first(Window { start_ms: 0, end_ms: 1 });
    assert_eq!(asked.url.path(), "/lp/data_access_le/account/7/le/agentActivity");
}

#[test]
fn every_data_type_has_one_line() {
    for data_type in DataType::ALL {
        assert_eq!(DataType::of_stream(data_type.stream()), Some(data_type));
    }
    assert_eq!(DataType::of_stream("messaging-interactions"), None);
    assert!(DataAccess::host_of_region("xx").is_none());
}

#[test]
fn an_array_and_a_single_object() {
    let several = read(&listing(&serde_json::json!([entry(&name(0)), entry(&name(1))]))).unwrap();
    assert_eq!(names(&several), [name(0), name(1)]);
    let single = read(&listing(&entry(&name(0)))).unwrap();
    assert_eq!(names(&single), [name(0)]);
    assert_eq!(single.files[0].window, Some(Window { start_ms: START, end_ms: END }));
    assert_eq!(single.files[0].href, HREF);
    assert_eq!(single.files[0].stream, "data-access/engagement");
}

#[test]
fn a_byte_order_mark_and_white_space_are_no_obstacle() {
    let reading = read(&format!("\u{feff}\r\n {}\n", listing(&entry(&name(0))))).unwrap();
    assert_eq!(reading.files.len(), 1);
}

#[test]
fn the_forms_of_nothing() {
    for body in [
        r#"{"dataAccessFiles":{"@id":"40112233","file":[]}}"#,
        r#"{"dataAccessFiles":{"@id":"40112233"}}"#,
        r#"{"dataAccessFiles":{"@id":40112233,"file":""}}"#,
        r#"{"dataAccessFiles":{"file":null}}"#,
        r#"{"dataAccessFiles":""}"#,
        r#"{"dataAccessFiles":null}"#,
        r#"{"error":{"message":"No Available Files"}}"#,
    ] {
        assert_eq!(read(body).unwrap(), Reading::default(), "{body}");
    }
    for (status, body) in [
        (404, r#"{"error":{"time":"Jun 10","message":"No Available Files","responseStatus":"NOT_FOUND"}}"#),
        (400, "No Available Files"),
        (500, "<html><body>No available files</body></html>"),
    ] {
        assert_eq!(read_status(status, body).unwrap(), Reading::default(), "{status}");
    }
}

#[test]
fn a_failure_is_never_taken_for_nothing() {
    for (status, kind) in [
        (401, ProblemKind::Unauthorized),
        (403, ProblemKind::Forbidden),
        (404, ProblemKind::Gone),
        (429, ProblemKind::RateLimited),
        (503, ProblemKind::Server),
    ] {
        assert_eq!(read_status(status, "").unwrap_err().kind, kind);
    }
    assert_eq!(read_status(401, "No Available Files").unwrap_err().kind, ProblemKind::Unauthorized);
    for body in ["{}", "[]", "null", "3", r#"{"dataAccessFiles":[]}"#, r#"{"dataAccessFiles":{"file":7}}"#] {
        assert_eq!(kind(body), ProblemKind::UnexpectedShape, "{body}");
    }
    // The phrase inside a listing is not the phrase.
    let reading = read(&listing(&entry("No Available Files"))).unwrap();
    assert_eq!((reading.files.len(), reading.refused.len()), (0, 1));
}

#[test]
fn bodies_that_are_no_listing() {
    assert_eq!(kind("<!DOCTYPE html><title>Sign in</title>"), ProblemKind::Html);
    assert_eq!(kind("<?xml version=\"1.0\"?><dataAccessFiles id=\"1\"/>"), ProblemKind::Xml);
    assert_eq!(kind(""), ProblemKind::TruncatedJson);
    assert_eq!(kind("nonsense"), ProblemKind::NotJson);
    let whole = listing(&entry(&name(0)));
    assert_eq!(kind(&format!("{whole}{whole}")), ProblemKind::NotJson);
    for cut in 1..whole.len() {
        assert_eq!(kind(&whole[..cut]), ProblemKind::TruncatedJson, "cut at {cut}");
    }
}

#[test]
fn the_listing_of_another_account_is_refused() {
    let body = listing(&entry(&name(0))).replace("\"@id\":\"40112233\"", "\"@id\":\"99999999\"");
    let problem = read(&body).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::OtherAccount);
    assert!(problem.reason.contains("40112233") && problem.reason.contains("99999999"), "{}", problem.reason);
}

#[test]
fn a_file_has_one_identity_however_it_is_listed() {
    let bare = name(0).replace(".gz", "");
    let reading = read(&listing(&serde_json::json!([entry(&bare), entry(&name(0)), entry(&name(0))]))).unwrap();
    assert_eq!(names(&reading), [name(0)]);
    assert!(reading.refused.is_empty());
}

#[test]
fn names_that_are_refused() {
    let bad = [
        "../../etc/passwd".to_owned(),
        "..".to_owned(),
        "".to_owned(),
        format!("../{}", name(0)),
        format!("a/{}", name(0)),
        format!("{}\0", name(0)),
        format!("{}\n", name(0)),
        name(0).replace("Engagement", "Survey"),
        name(0).replace("Engagement", "engagement"),
        name(0).replace("part-00000-0", "part-0000-0"),
        name(0).replace("part-00000-0", "part-00000-"),
        name(0).replace("part-00000-0", "part-00000-../x"),
        name(0).replace("part-00000-0", "part-00000-٣"),
        name(0).replace(&START.to_string(), "171801000000"),
        name(0).replace(&START.to_string(), "-171801000000"),
        name(0).replace(".gz", ".zip"),
        name(0).replace(".gz", ".gz.gz"),
        format!("Engagement.{START}.{END}.part-00000-{}.gz", "1".repeat(4000)),
    ];
    for bad in &bad {
        let reading = read(&listing(&serde_json::json!([entry(bad), entry(&name(1))]))).unwrap();
        assert_eq!(names(&reading), [name(1)], "{bad:?} must not stop its neighbour");
        assert_eq!(reading.refused.len(), 1, "{bad:?}");
        let refused = &reading.refused[0];
        assert_eq!(refused.kind, ProblemKind::RefusedName);
        assert!(refused.name.len() < 200 && !refused.name.contains(char::is_control), "{refused:?}");
    }
}

#[test]
fn entries_without_name_or_address_are_refused() {
    let mut without_href = entry(&name(0));
    without_href.as_object_mut().unwrap().remove("@href");
    let mut bad_href = entry(&name(0));
    bad_href["@href"] = Value::from("https://[::1");
    for entry in [Value::Null, Value::from("x"), serde_json::json!({}), without_href, bad_href] {
        let reading = read(&listing(&serde_json::json!([entry]))).unwrap();
        assert_eq!((reading.files.len(), reading.refused.len()), (0, 1), "{entry}");
    }
}

#[test]
fn scope_dates_help_where_the_name_tells_no_window() {
    let odd = format!("Engagement.{END}.{START}.part-00000-0.gz");
    let reading = read(&listing(&entry(&odd))).unwrap();
    assert_eq!(reading.files[0].window, Some(Window { start_ms: START, end_ms: END }));
    let mut dateless = entry(&odd);
    dateless["@scopeStartDate"] = Value::from("yesterday");
    assert_eq!(read(&listing(&dateless)).unwrap().files[0].window, None);
}

#[test]
fn a_relative_address_belongs_to_the_listing_host() {
    let mut relative = entry(&name(0));
    relative["@href"] = Value::from("/data_access_le/x.gz");
    let reading = read(&listing(&relative)).unwrap();
    assert_eq!(reading.files[0].href, "https://va.da.liveperson.net/data_access_le/x.gz");
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic(status in 100_u16..600, body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let source = source();
        let asked = source.first(Window { start_ms: 0, end_ms: 1 });
        let _ = source.read(&asked, &Answer { status, content_type: None, body });
    }

    #[test]
    fn a_name_that_passes_is_a_safe_file_name(tail in "[-./a-z0-9\\x00 ]{0,30}") {
        if let Ok((name, _)) = listed_name(&format!("Engagement.{START}.{END}.part-{tail}"), "data-access/engagement") {
            proptest::prop_assert!(!name.contains(['/', '\\', '\0', ' ']) && !name.contains(".."));
            proptest::prop_assert!(name.len() <= 203);
        }
    }
}
