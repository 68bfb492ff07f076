//! Engagement attributes (SDEs): ten kinds, six of them nested twice under the same name.
//!
//! Values are made once in their own type; the first version of the API writes all of them as
//! strings and leaves the unauthenticated ones out.

use serde_json::{Value, json};

use super::plan::Plan;
use super::talk::Talk;
use super::{MASK, MessagingWorld};
use crate::simulator::dice::Dice;
use crate::simulator::text::draw;
use crate::simulator::vocab::{Stock, WordList};

const SDE_STREAM: u64 = 64;

/// Name, `sdeType`, and whether the data lies one level deeper under the same name.
const KINDS: [(&str, &str, bool); 10] = [
    ("customerInfo", "CUSTOMER_INFO", true),
    ("personalInfo", "PERSONAL_INFO", true),
    ("lead", "LEAD", true),
    ("marketingCampaignInfo", "MARKETING_CAMPAIGN_INFO", true),
    ("serviceActivity", "SERVICE_ACTIVITY", true),
    ("visitorError", "VISITOR_ERROR", true),
    ("cartStatus", "CART_STATUS", false),
    ("purchase", "PURCHASE", false),
    ("viewedProduct", "VIEWED_PRODUCT", false),
    ("searchContent", "SEARCH_CONTENT", false),
];
const WEIGHTS: [u32; 10] = [30, 20, 6, 8, 8, 5, 10, 8, 10, 5];

/// One attribute event.
#[derive(Debug)]
pub(super) struct Sde {
    kind: usize,
    pub(super) at_ms: i64,
    pub(super) authenticated: bool,
    /// The data in their own types, without the event's times.
    data: Value,
}

impl Sde {
    /// The event as the API writes it.
    pub(super) fn event(&self, version: u32) -> Value {
        let (name, sde_type, twice) = KINDS[self.kind];
        let times = [("serverTimeStamp", self.at_ms), ("originalTimeStamp", self.at_ms - 150)];
        let mut body = if twice { json!({ name: self.data }) } else { self.data.clone() };
        for (key, at_ms) in times {
            body[key] = json!(at_ms);
        }
        let mut event = json!({ name: body, "sdeType": sde_type, "serverTimeStamp": self.at_ms });
        if version == 1 {
            event = strings(event);
        }
        if !self.authenticated {
            event["isAuthenticated"] = json!(false);
        }
        event
    }

    /// Paths and values: keys joined by dots, the doubled name once, elements of lists one after another.
    pub(super) fn values(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        flatten(KINDS[self.kind].0, &self.data, &mut found);
        found
    }
}

/// Every event up to `now_ms`, oldest first.
pub(super) fn of(world: &MessagingWorld, plan: &Plan, talk: &Talk, now_ms: i64) -> Vec<Sde> {
    let dice = &mut Dice::new(world.seed, SDE_STREAM, plan.index);
    let customer = format!("138766{:010}", dice.bits());
    let erased = plan.is_erased(now_ms);
    let mut events = Vec::new();
    for &(at_ms, authenticated) in plan.sdes.iter().filter(|(at_ms, _)| *at_ms <= now_ms) {
        let kind = dice.weighted(&WEIGHTS);
        let mut data = data(kind, &customer, talk, dice);
        if erased && matches!(KINDS[kind].0, "customerInfo" | "personalInfo") {
            mask(&mut data);
        }
        events.push(Sde { kind, at_ms, authenticated, data });
    }
    events
}

fn data(kind: usize, customer: &str, talk: &Talk, dice: &mut Dice) -> Value {
    let stock = Stock::shared();
    let mut word = |list| draw(stock, list, dice).to_owned();
    let words = [word(WordList::Noun), word(WordList::Adj), word(WordList::Article), word(WordList::City)];
    let [noun, adjective, article, city] = words;
    // Half of a unit has an exact binary form, so that a total is the same text in every program.
    let amount = f64::from(dice.between(1, 4_000)) / 2.0;
    let currency = *dice.pick(&["EUR", "GBP", "USD", "JPY"]);
    let small = dice.between(1, 9);
    let number = u64::from(dice.bits());
    let product =
        json!({ "name": talk.product, "category": article, "sku": format!("SKU-{number:010}"), "price": amount });
    let products = json!([{ "quantity": small, "product": product }]);
    let cart =
        json!({ "total": amount * f64::from(small), "currency": currency, "numItems": small, "products": products });
    match KINDS[kind].0 {
        "customerInfo" => json!({
            "customerId": customer, "customerStatus": *dice.pick(&["gold", "silver", "null", ""]),
            "customerType": adjective, "balance": -amount, "currency": currency,
            "socialId": number.to_string(), "imei": format!("35{number:013}"), "userName": format!("user{number}"),
            "accountName": city, "role": "buyer", "companySize": small * 10, "companyBranch": city, "loginStatus": 1,
            "lastPaymentDate": { "year": 2026, "month": small, "day": small * 3 },
            "registrationDate": { "year": 2019, "month": 12, "day": 31 }, "storeZipCode": "04109", "storeNumber": "007",
        }),
        "personalInfo" => json!({
            "name": talk.consumer.first_name, "surname": talk.consumer.last_name, "gender": "OTHER", "company": city,
            "language": "en-GB",
            "customerAge": {
                "customerAgeInYears": 20 + small, "customerYearOfBirth": 1999,
                "customerMonthOfBirth": small, "customerDateOfBirth": small,
            },
            "contacts": [{ "personalContact": { "email": talk.consumer.email, "phone": talk.consumer.phone } }],
        }),
        "lead" => json!({ "topic": noun, "value": amount, "currency": currency, "leadId": format!("L-{number}") }),
        "marketingCampaignInfo" => json!({
            "originatingChannel": small % 7, "affiliate": format!("{city} {noun}"), "campaignId": format!("US-{number}"),
        }),
        "serviceActivity" => json!({
            "topic": noun, "status": small, "category": article, "serviceId": format!("service_{number}"),
        }),
        "visitorError" => json!({
            "contextId": format!("form_{number}"), "message": format!("The {noun} is not {adjective}"),
            "code": format!("er{small}00"), "level": small, "resolved": small.is_multiple_of(2),
        }),
        "cartStatus" => cart,
        "purchase" => {
            json!({ "total": amount * f64::from(small), "currency": currency, "orderId": talk.order, "cart": cart })
        }
        "viewedProduct" => json!({
            "products": [{ "product": product, "statusInStock": "IN_STOCK", "quantityInStock": small }], "currency": currency,
        }),
        _ => json!({ "keywords": [noun, talk.product, article] }),
    }
}

/// Deletes the personal data of an event.
fn mask(data: &mut Value) {
    const PERSONAL: [&str; 10] =
        ["customerId", "socialId", "imei", "userName", "accountName", "name", "surname", "email", "phone", "company"];
    match data {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value.is_string() && PERSONAL.contains(&key.as_str()) {
                    true => *value = json!(MASK),
                    false => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Every number and truth value as a string.
pub(in crate::simulator) fn strings(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(truth) => Value::String(truth.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(strings).collect()),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, strings(value))).collect(),
        other => other,
    }
}

fn flatten(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{path}.{key}"), value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(path, item, found)),
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Null => {}
        other => found.push((path.to_owned(), other.to_string())),
    }
}
