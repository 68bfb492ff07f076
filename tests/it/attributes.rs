//! Engagement attributes (SDEs): every kind of every source is found by path, by value and by number, with the time when it was first
//! seen; and digit runs of any length, which LivePerson cannot search beyond three.

use crate::support::{Vault, ids, reader, temp_folder};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ACCOUNT: &str = "40112233";
/// When the answers came, epoch milliseconds.
const FIRST: i64 = 1_717_300_000_000;
const SECOND: i64 = FIRST + 60_000;

/// One event, the source that sends it so, and what must be found of it.
struct Case {
    name: &'static str,
    event: Value,
    /// Path and value, each value in the form of a query.
    finds: &'static [(&'static str, &'static str)],
    /// Conditions on numbers that hold, and one that does not.
    holds: &'static [&'static str],
    fails: &'static [&'static str],
}

fn case(
    name: &'static str,
    event: Value,
    finds: &'static [(&'static str, &'static str)],
    holds: &'static [&'static str],
    fails: &'static [&'static str],
) -> Case {
    Case { name, event, finds, holds, fails }
}

/// The kinds of messaging-interactions.md, section 8, in their own types (`v=2`).
fn messaging_kinds() -> Vec<Case> {
    let twice = |name: &str, sde_type: &str, data: Value| {
        json!({ name: { "serverTimeStamp": 1_717_230_613_000_i64, "originalTimeStamp": 1_717_230_612_900_i64, name: data },
                "sdeType": sde_type, "serverTimeStamp": 1_717_230_613_000_i64 })
    };
    let flat = |name: &str, sde_type: &str, mut data: Value| {
        data["serverTimeStamp"] = json!(1_717_230_613_100_i64);
        data["originalTimeStamp"] = json!(1_717_230_612_950_i64);
        json!({ name: data, "sdeType": sde_type, "serverTimeStamp": 1_717_230_613_100_i64 })
    };
    vec![
        case(
            "customerInfo",
            twice(
                "customerInfo",
                "CUSTOMER_INFO",
                json!({
                    "customerStatus": "platinum", "customerType": "returning", "balance": -1234.5, "currency": "NOK",
                    "customerId": "138766AC", "socialId": "88112233445566", "imei": "3543546543545688", "userName": "ingrid77",
                    "accountName": "fjordbank", "role": "treasurer", "companySize": 4500, "companyBranch": "bergen",
                    "storeZipCode": "5003", "storeNumber": "4471", "loginStatus": 2,
                    "lastPaymentDate": { "year": 2024, "month": 5, "day": 31 },
                    "registrationDate": { "year": 2011, "month": 12, "day": 1 },
                }),
            ),
            &[
                ("customerInfo.customerStatus", "platinum"),
                ("customerInfo.customerType", "returning"),
                ("customerInfo.balance", "\"-1234.5\""),
                ("customerInfo.currency", "nok"),
                ("customerInfo.customerId", "138766AC"),
                ("customerInfo.socialId", "88112233445566"),
                ("customerInfo.imei", "3543546543545688"),
                ("customerInfo.userName", "ingrid77"),
                ("customerInfo.accountName", "fjordbank"),
                ("customerInfo.role", "treasurer"),
                ("customerInfo.companySize", "4500"),
                ("customerInfo.companyBranch", "bergen"),
                ("customerInfo.storeZipCode", "5003"),
                ("customerInfo.storeNumber", "4471"),
                ("customerInfo.loginStatus", "2"),
                ("customerInfo.lastPaymentDate", "\"2024-05-31\""),
                ("customerInfo.lastPaymentDate.month", "5"),
                ("customerInfo.registrationDate", "\"2011-12-01\""),
            ],
            &[
                "customerInfo.balance:<0",
                "customerInfo.companySize:4000..5000",
                "customerInfo.lastPaymentDate.year:>=2024",
            ],
            &["customerInfo.balance:>0", "customerInfo.companySize:>4500"],
        ),
        case(
            "personalInfo",
            twice(
                "personalInfo",
                "PERSONAL_INFO",
                json!({
                    "name": "Solveig", "surname": "Okafor", "gender": "FEMALE", "company": "Acme", "language": "nynorsk",
                    "customerAge": { "customerAgeInYears": 41, "customerYearOfBirth": 1983, "customerMonthOfBirth": 7, "customerDateOfBirth": 22 },
                    "contacts": [{ "personalContact": { "email": "solveig@example.org", "phone": "+4755123456" } }],
                }),
            ),
            &[
                ("personalInfo.name", "solveig"),
                ("personalInfo.surname", "okafor"),
                ("personalInfo.gender", "female"),
                ("personalInfo.company", "acme"),
                ("personalInfo.language", "nynorsk"),
                ("personalInfo.customerAge.customerYearOfBirth", "1983"),
                ("personalInfo.contacts.personalContact.email", "\"solveig@example.org\""),
                ("personalInfo.contacts.personalContact.phone", "4755123456"),
                ("personalInfo.contacts", "\"solveig@example.org\""),
            ],
            &["personalInfo.customerAge.customerAgeInYears:40..42"],
            &["personalInfo.customerAge.customerAgeInYears:<41"],
        ),
        case(
            "lead",
            twice(
                "lead",
                "LEAD",
                json!({ "topic": "mortgage", "value": 250000.75, "currency": "SEK", "leadId": "LD-90210" }),
            ),
            &[
                ("lead.topic", "mortgage"),
                ("lead.value", "250000.75"),
                ("lead.currency", "sek"),
                ("lead.leadId", "\"LD-90210\""),
            ],
            &["lead.value:>250000"],
            &["lead.value:>250001"],
        ),
        case(
            "marketingCampaignInfo",
            twice(
                "marketingCampaignInfo",
                "MARKETING_CAMPAIGN_INFO",
                json!({ "originatingChannel": 4, "affiliate": "partnerhub", "campaignId": "spring2024" }),
            ),
            &[("marketingCampaignInfo.affiliate", "partnerhub"), ("marketingCampaignInfo.campaignId", "spring2024")],
            &["marketingCampaignInfo.originatingChannel:4"],
            &["marketingCampaignInfo.originatingChannel:5"],
        ),
        case(
            "serviceActivity",
            twice(
                "serviceActivity",
                "SERVICE_ACTIVITY",
                json!({ "topic": "broadband", "status": 13, "category": "repair", "serviceId": "SV77120" }),
            ),
            &[
                ("serviceActivity.topic", "broadband"),
                ("serviceActivity.category", "repair"),
                ("serviceActivity.serviceId", "sv77120"),
            ],
            &["serviceActivity.status:>12"],
            &["serviceActivity.status:<13"],
        ),
        case(
            "visitorError",
            twice(
                "visitorError",
                "VISITOR_ERROR",
                json!({ "contextId": "checkout", "message": "declined card", "code": "E4711", "level": 5_000_000_000_i64, "resolved": false }),
            ),
            &[
                ("visitorError.contextId", "checkout"),
                ("visitorError.message", "\"declined card\""),
                ("visitorError.code", "e4711"),
                ("visitorError.resolved", "false"),
            ],
            &["visitorError.level:>4999999999"],
            &["visitorError.level:>5000000000"],
        ),
        case(
            "cartStatus",
            flat(
                "cartStatus",
                "CART_STATUS",
                json!({
                    "total": 31.5, "currency": "GBP", "numItems": 2,
                    "products": [{ "quantity": 2, "product": { "name": "Teapot", "category": "Kitchen", "sku": "TP-9", "price": 15.75 } }],
                }),
            ),
            &[
                ("cartStatus.currency", "gbp"),
                ("cartStatus.products.product.name", "teapot"),
                ("cartStatus.products.product.category", "kitchen"),
                ("cartStatus.products.product.sku", "\"TP-9\""),
            ],
            &[
                "cartStatus.total:31.5",
                "cartStatus.numItems:2",
                "cartStatus.products.product.price:15..16",
                "cartStatus.products.quantity:2",
            ],
            &["cartStatus.total:>31.5"],
        ),
        case(
            "purchase",
            flat(
                "purchase",
                "PURCHASE",
                json!({ "total": 99.95, "currency": "CHF", "orderId": "O55128", "cart": { "total": 99.95, "numItems": 7, "products": [{ "quantity": 7, "product": { "sku": "CUP" } }] } }),
            ),
            &[
                ("purchase.orderId", "o55128"),
                ("purchase.currency", "chf"),
                ("purchase.cart.products.product.sku", "cup"),
            ],
            &["purchase.total:>99", "purchase.cart.numItems:7"],
            &["purchase.total:>100"],
        ),
        case(
            "viewedProduct",
            flat(
                "viewedProduct",
                "VIEWED_PRODUCT",
                json!({ "currency": "DKK", "products": [{ "product": { "name": "Lantern", "price": 8 } }], "statusInStock": "INSTOCK", "quantityInStock": 60 }),
            ),
            &[
                ("viewedProduct.currency", "dkk"),
                ("viewedProduct.products.product.name", "lantern"),
                ("viewedProduct.statusInStock", "instock"),
            ],
            &["viewedProduct.quantityInStock:60"],
            &["viewedProduct.quantityInStock:<60"],
        ),
        case(
            "searchContent",
            flat("searchContent", "SEARCH_CONTENT", json!({ "keywords": ["sleeping bag", "tarpaulin"] })),
            &[("searchContent.keywords", "\"sleeping bag\""), ("searchContent.keywords", "tarpaulin")],
            &[],
            &["searchContent.keywords:>0"],
        ),
        case(
            "userUpdate",
            json!({ "userUpdate": { "profile": { "nickname": "nightowl" } }, "sdeType": "USER_UPDATE" }),
            &[("userUpdate.profile.nickname", "nightowl")],
            &[],
            &[],
        ),
        case(
            "a kind of tomorrow",
            json!({ "loyaltyTier": { "loyaltyTier": { "points": 1200, "label": "zirconium" } }, "sdeType": "LOYALTY_TIER" }),
            &[("loyaltyTier.label", "zirconium")],
            &["loyaltyTier.points:>=1200"],
            &["loyaltyTier.points:>1200"],
        ),
        case(
            "all values as strings (v=1)",
            json!({ "lead": { "serverTimeStamp": "1717230613000", "originalTimeStamp": "1717230612900",
                    "lead": { "topic": "leasing", "value": "75.25", "leadId": "undefined" } }, "sdeType": "LEAD", "serverTimeStamp": "1717230613000" }),
            &[("lead.topic", "leasing")],
            &["lead.value:75.25"],
            &["lead.leadId:undefined"],
        ),
    ]
}

/// The variants of engagement-history.md, `sdes.events`.
fn history_kinds() -> Vec<Case> {
    vec![
        case(
            "flat personalInfo",
            json!({ "personalInfo": { "name": "Ines", "surname": "undefined", "contacts": [{ "personalContact": {
                "email": "ines@example.org", "address": { "country": "Ghana", "region": "Ashanti", "zipCode": "23321" } } }],
                "serverTimeStamp": "1717230601000" } }),
            &[
                ("personalInfo.name", "ines"),
                ("personalInfo.contacts.personalContact.address.country", "ghana"),
                ("personalInfo.contacts.personalContact.address.zipCode", "23321"),
            ],
            &[],
            &["personalInfo.surname:undefined"],
        ),
        case(
            "viewProduct",
            json!({ "viewProduct": { "currency": "EUR", "products": [{ "product": { "name": "Hammock" } }], "serverTimeStamp": "1717230601000" } }),
            &[("viewedProduct.products.product.name", "hammock"), ("viewedProduct.currency", "eur")],
            &[],
            &[],
        ),
        case(
            "formFillingError",
            json!({ "formFillingError": { "visitorError": { "message": { "string": "no such street" }, "code": { "string": "E7001" } } } }),
            &[("visitorError.message", "\"no such street\""), ("visitorError.code", "e7001")],
            &[],
            &[],
        ),
        case(
            "Currency with a capital, a numeric socialId",
            json!({ "customerInfo": { "customerInfo": { "Currency": "ILS", "socialId": 11223344556677_i64 }, "serverTimeStamp": "1717230601000" } }),
            &[("customerInfo.currency", "ils"), ("customerInfo.socialId", "11223344556677")],
            &[],
            &[],
        ),
        case(
            "an empty cart in a purchase",
            json!({ "purchase": { "total": "31.5", "currency": "GBP", "cart": { "total": null, "serverTimeStamp": null, "products": [], "numItems": null },
                    "orderId": "O-5512" }, "serverTimeStamp": "1717230600000", "sdeType": "PURCHASE", "isAuthenticated": false }),
            &[("purchase.orderId", "\"O-5512\"")],
            &["purchase.total:31.5"],
            &["purchase.cart.total:>=0"],
        ),
    ]
}

/// A line of the archive: an answer of a history API, its parts in the order that the archive writes.
fn answer(stream: &str, call: &str, received_ms: i64, body: &Value) -> String {
    format!(
        r#"{{"type":"api-answer","format":1,"stream":"{stream}","call":"{call}","received_ms":{received_ms},"status":200,"request":{{"method":"POST","url":"https://example.org/x","body":{{}}}},"body":{body}}}"#
    )
}

fn messaging(received_ms: i64, records: &[Value]) -> String {
    let body = json!({ "_metadata": { "count": records.len() }, "conversationHistoryRecords": records });
    answer("messaging-interactions", "conversations/conversation/search", received_ms, &body)
}

fn history(received_ms: i64, records: &[Value]) -> String {
    let body = json!({ "_metadata": { "count": records.len() }, "interactionHistoryRecords": records });
    answer("engagement-history", "interactions/search", received_ms, &body)
}

fn imported(lines: &[String]) -> Vault {
    let vault = Vault::new(ACCOUNT);
    let folder = temp_folder();
    for (number, line) in lines.iter().enumerate() {
        std::fs::write(folder.path().join(format!("answers-{number}.ndjson")), format!("{line}\n")).unwrap();
    }
    let report = vault.json(&["import", folder.path().to_str().unwrap()], 0);
    assert_eq!(report["import"]["imported"], lines.len(), "{report}");
    assert_eq!(report["index"]["problems"]["counts"], json!({}), "{report}");
    vault
}

/// Holds one case against the index: its conversation, and no other that has nothing of it, is found.
#[track_caller]
fn assert_found(vault: &Vault, id: &str, case: &Case) {
    let reader = reader(&vault.path());
    let wanted = format!("{ACCOUNT}:{id}");
    for (path, value) in case.finds {
        for query in
            [format!("sde.{path}:{value}"), format!("sde:{value}"), format!("SDE.{}:{value}", path.to_lowercase())]
        {
            let query = query.replacen("SDE", "sde", 1);
            assert!(ids(&reader, &query).contains(&wanted), "{}: {query}", case.name);
        }
    }
    for condition in case.holds {
        assert!(ids(&reader, &format!("sde.{condition}")).contains(&wanted), "{}: {condition}", case.name);
    }
    for condition in case.fails {
        assert!(!ids(&reader, &format!("sde.{condition}")).contains(&wanted), "{}: {condition}", case.name);
    }
}

#[test]
fn every_kind_of_messaging_is_found_typed_and_timed() {
    let cases = messaging_kinds();
    for list in ["sdes", "unAuthSdes"] {
        let record = |at: usize, events: &[Value]| {
            json!({ "info": { "conversationId": format!("c-{at}"), "startTimeL": 1_717_230_612_345_i64, "status": "OPEN" },
                    list: { "events": events } })
        };
        let event_of = |case: &Case| {
            let mut event = case.event.clone();
            if list == "unAuthSdes" {
                event["isAuthenticated"] = json!(false);
            }
            event
        };
        let before: Vec<Value> = (0..cases.len()).map(|at| record(at, &[])).collect();
        let after: Vec<Value> = cases.iter().enumerate().map(|(at, case)| record(at, &[event_of(case)])).collect();
        let vault = imported(&[messaging(FIRST, &before), messaging(SECOND, &after)]);
        for (at, case) in cases.iter().enumerate() {
            let id = format!("c-{at}");
            assert_found(&vault, &id, case);
            // It was not there at first, and its time is that of the answer that had it.
            let shown = vault.run(&["show", &id]).exits(0).stdout;
            assert!(shown.contains("first seen 2024-06-02 03:47:40"), "{}, {list}: {shown}", case.name);
            let whole = vault.json(&["show", &id], 0);
            assert_eq!(whole["sdes"].as_array().unwrap().len(), 1, "{}: {whole}", case.name);
            let is_marked = whole["sdes"].to_string().contains("isAuthenticated");
            assert_eq!(is_marked, list == "unAuthSdes", "{}: {whole}", case.name);
        }
        let all = format!("{}", cases.len());
        assert_eq!(vault.json(&["search", "has:sde", "--count"], 0)["total"]["value"].to_string(), all);
    }
}

#[test]
fn every_variant_of_the_chat_history_is_found() {
    let cases = history_kinds();
    let record = |(at, case): (usize, &Case)| json!({ "info": { "engagementId": format!("e-{at}"), "startTimeL": 1_717_230_612_345_i64 }, "sdes": { "events": [case.event] } });
    let records: Vec<Value> = cases.iter().enumerate().map(record).collect();
    let vault = imported(&[history(FIRST, &records)]);
    for (at, case) in cases.iter().enumerate() {
        assert_found(&vault, &format!("e-{at}"), case);
    }
}

/// LivePerson: "Engagement attributes comprised of numbers that contain more than three consecutive digits cannot currently be
/// searched for."
#[test]
fn digit_runs_of_any_length_are_found_whole_by_path_anywhere_and_by_part() {
    const RUN: &str = "4917350286149037";
    let lengths: Vec<usize> = (1..=16).collect();
    let record = |length: &usize| {
        let event = json!({ "customerInfo": { "customerInfo": { "customerId": &RUN[..*length], "userName": format!("u{}x", &RUN[..*length]) } } });
        json!({ "info": { "conversationId": format!("run-{length}"), "startTimeL": 1 }, "sdes": { "events": [event] } })
    };
    let other =
        json!({ "customerInfo": { "customerInfo": { "customerId": "7777777", "accountName": "49173502 9037" } } });
    let mut records: Vec<Value> = lengths.iter().map(record).collect();
    records.push(json!({ "info": { "conversationId": "other", "startTimeL": 1 }, "sdes": { "events": [other] } }));
    let vault = imported(&[messaging(FIRST, &records)]);
    let reader = reader(&vault.path());
    let run = |length: usize| format!("{ACCOUNT}:run-{length}");
    for length in 4..=16 {
        let digits = &RUN[..length];
        assert_eq!(
            ids(&reader, &format!("sde.customerInfo.customerId:{digits}")),
            BTreeSet::from([run(length)]),
            "by path"
        );
        let anywhere = ids(&reader, &format!("sde:{digits}"));
        assert!(anywhere.contains(&run(length)), "anywhere: {digits}");
        assert!(
            anywhere.is_subset(&[run(length), format!("{ACCOUNT}:other")].into()),
            "anywhere: {digits}: {anywhere:?}"
        );
        assert_eq!(ids(&reader, &format!("sde.customerInfo.userName:u{digits}x")), BTreeSet::from([run(length)]));
        // By its beginning, its end, and something inside.
        let longer: BTreeSet<String> = (length..=16).map(run).collect();
        assert_eq!(ids(&reader, &format!("sde.customerInfo.customerId:{digits}*")), longer, "beginning: {digits}");
        let end = &digits[length - 4..];
        assert!(ids(&reader, &format!("sde.customerInfo.customerId:*{end}")).contains(&run(length)), "end: {end}");
        let inside = &digits[1..length - 1];
        assert!(
            ids(&reader, &format!("sde.customerInfo.customerId:/.*{inside}.*/")).contains(&run(length)),
            "inside: {inside}"
        );
    }
    // Next to a value that only shares digits, and as a number as far as one keeps every digit.
    let phrase = "sde.customerInfo.accountName:\"49173502 9037\"";
    assert_eq!(ids(&reader, phrase), BTreeSet::from([format!("{ACCOUNT}:other")]));
    let large: BTreeSet<String> = (14..=16).map(run).collect();
    assert_eq!(ids(&reader, &format!("sde.customerInfo.customerId:>={}", &RUN[..14])), large);
}

/// LivePerson: searchable "only after two hours". Here with the answer that brings it.
#[test]
fn an_attribute_is_searchable_with_the_answer_that_brings_it() {
    let event = json!({ "lead": { "lead": { "topic": "kayak" }, "serverTimeStamp": 1 } });
    let record =
        json!({ "info": { "conversationId": "c", "startTimeL": 1, "status": "OPEN" }, "sdes": { "events": [event] } });
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let vault = imported(&[messaging(now_ms, &[record])]);
    assert_eq!(ids(&reader(&vault.path()), "sde.lead.topic:kayak").len(), 1);
}
