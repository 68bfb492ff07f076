//! Engagement attributes (SDEs), flattened: one event → kind, times, and `path → value`.
//!
//! Six kinds are nested twice under the same name, four are flat, old chat records use other names, Data Access wraps each
//! value in its union branch, and numbers come as strings under `v=1` (reference `messaging-interactions.md`, section 8;
//! `engagement-history.md`, `sdes.events`). All of them give the same paths: `customerInfo.customerId`,
//! `cartStatus.products.product.sku`, `personalInfo.contacts.personalContact.email`. Elements of a list share their
//! path. Digits are kept as they stand: an id never passes through a float.

use jiter::{Jiter, Peek};

/// One event, flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SdeEvent {
    /// Name of the kind: `customerInfo`, `cartStatus`, …
    pub kind: String,
    /// When it happened, epoch milliseconds.
    pub original_ms: Option<i64>,
    /// When LivePerson processed it, epoch milliseconds.
    pub server_ms: Option<i64>,
    /// `false` for what an unauthenticated page said.
    pub is_authenticated: Option<bool>,
    /// Every value with its path, in the order received.
    pub values: Vec<SdeValue>,
}

/// One value of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SdeValue {
    /// Names from the kind down, joined by dots, as received.
    pub path: String,
    /// The value: text, digits as they stand, `true` or `false`.
    pub text: String,
}

impl SdeValue {
    /// Whether the value stands at `path` or below it; case does not matter.
    pub fn is_under(&self, path: &str) -> bool {
        let (mine, wanted) = (self.path.to_lowercase(), path.to_lowercase());
        mine.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The value as a number, where it is one.
    pub fn number(&self) -> Option<f64> {
        as_number(&self.text)
    }
}

/// A text as a number, where it reads as one: digits, a sign, a point, an exponent.
pub fn as_number(text: &str) -> Option<f64> {
    let text = text.trim();
    // No number is longer; an attribute may have 50,000 characters.
    if text.len() > 64 || !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.')) {
        return None;
    }
    // -0 and 0 are the same number.
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| if number == 0.0 { 0.0 } else { number })
}

/// Deepest nesting that is followed; real attributes stay below eight.
const MAX_DEPTH: u8 = 32;

/// Longest path, bytes. What lies deeper shares the path of its ancestor.
const MAX_PATH: usize = 512;

/// Reads an event. `None`: it is no JSON object.
pub fn sde_event(json: &str) -> Option<SdeEvent> {
    let mut event = SdeEvent::default();
    let mut jiter = Jiter::new(json.as_bytes());
    if jiter.peek().ok()? != Peek::Object {
        return None;
    }
    let mut key = jiter.known_object().ok()?.map(str::to_owned);
    while let Some(name) = key {
        match name.as_str() {
            "sdeType" => jiter.next_skip().ok()?,
            "serverTimeStamp" | "timestamp" => event.server_ms = event.server_ms.or(whole(&mut jiter)?),
            "originalTimeStamp" => event.original_ms = event.original_ms.or(whole(&mut jiter)?),
            "isAuthenticated" => event.is_authenticated = flag(&mut jiter)?,
            // Data Access: the union branch names the kind, so the path begins one level deeper.
            "data" => walk(&mut jiter, "", 0, &mut event)?,
            _ => {
                let kind = kind_of(&name);
                if event.kind.is_empty() {
                    event.kind.clone_from(&kind);
                }
                walk(&mut jiter, &kind, 1, &mut event)?;
            }
        }
        key = jiter.next_key().ok()?.map(str::to_owned);
    }
    Some(event)
}

/// Every value of any JSON object with its path, unions opened; for surveys and the like. Broken JSON gives what precedes
/// the break.
pub fn flattened(json: &str) -> Vec<SdeValue> {
    let mut event = SdeEvent::default();
    // What was read before a syntax error stays read.
    let _ = walk(&mut Jiter::new(json.as_bytes()), "", 0, &mut event);
    event.values
}

/// The one name of a kind: old chat records have others.
fn kind_of(name: &str) -> String {
    match name {
        "viewProduct" => "viewedProduct".to_owned(),
        "formFillingError" => "visitorError".to_owned(),
        other => path_part(other),
    }
}

/// A name as part of a path; a control character would end the path inside the index.
fn path_part(name: &str) -> String {
    if name.contains(char::is_control) {
        name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    } else {
        name.to_owned()
    }
}

/// Whether a key only names the branch of a union (Avro's JSON encoding).
fn is_branch(key: &str) -> bool {
    matches!(key, "string" | "long" | "int" | "double" | "float" | "boolean" | "array")
        || key.starts_with("com.liveperson.")
}

/// Reads the value at `path` into the event. `depth` counts from the kind, which is 1.
fn walk(jiter: &mut Jiter<'_>, path: &str, depth: u8, event: &mut SdeEvent) -> Option<()> {
    if depth > MAX_DEPTH {
        return jiter.next_skip().ok();
    }
    let peek = jiter.peek().ok()?;
    match peek {
        Peek::Null => return jiter.known_null().ok(),
        Peek::True | Peek::False => {
            let text = jiter.known_bool(peek).ok()?.to_string();
            event.values.push(SdeValue { path: path.to_owned(), text });
        }
        Peek::String => {
            let text = jiter.known_str().ok()?;
            // Sentinels of "unknown" (reference README, trap 15) are no values.
            if !matches!(text, "" | "undefined" | "null") {
                event.values.push(SdeValue { path: path.to_owned(), text: text.to_owned() });
            }
        }
        Peek::Array => {
            let mut next = jiter.known_array().ok()?;
            while next.is_some() {
                walk(jiter, path, depth + 1, event)?;
                next = jiter.array_step().ok()?;
            }
        }
        Peek::Object => return walk_object(jiter, path, depth, event),
        _ => {
            let text = std::str::from_utf8(jiter.known_number_bytes(peek).ok()?).ok()?.to_owned();
            event.values.push(SdeValue { path: path.to_owned(), text });
        }
    }
    Some(())
}

fn walk_object(jiter: &mut Jiter<'_>, path: &str, depth: u8, event: &mut SdeEvent) -> Option<()> {
    let first = event.values.len();
    let mut key = jiter.known_object().ok()?.map(str::to_owned);
    while let Some(name) = key {
        match name.as_str() {
            "serverTimeStamp" => event.server_ms = event.server_ms.or(whole(jiter)?),
            "originalTimeStamp" => event.original_ms = event.original_ms.or(whole(jiter)?),
            "isAuthenticated" if path == event.kind => event.is_authenticated = event.is_authenticated.or(flag(jiter)?),
            branch if path.is_empty() && branch.starts_with("com.liveperson.") => {
                event.kind = branch_kind(branch);
                let kind = event.kind.clone();
                walk(jiter, &kind, 1, event)?;
            }
            branch if is_branch(branch) => walk(jiter, path, depth + 1, event)?,
            // The second level of the kinds that are nested twice.
            inner if depth == 1 && kind_of(inner) == path => walk(jiter, path, depth + 1, event)?,
            inner => {
                let inner = path_part(inner);
                let below = match path {
                    "" => inner,
                    _ if path.len() + inner.len() >= MAX_PATH => path.to_owned(),
                    _ => format!("{path}.{inner}"),
                };
                walk(jiter, &below, depth + 1, event)?;
            }
        }
        key = jiter.next_key().ok()?.map(str::to_owned);
    }
    event.values.extend(date(path, &event.values[first..]));
    Some(())
}

/// `com.liveperson.dataaccess.CustomerInfo` is `customerInfo`.
fn branch_kind(branch: &str) -> String {
    let name = branch.rsplit('.').next().unwrap_or_default();
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    kind_of(&first.into_iter().chain(letters).collect::<String>())
}

/// Year, month and day under one path are a date too: `2024-05-31`.
fn date(path: &str, values: &[SdeValue]) -> Option<SdeValue> {
    let part = |name: &str| -> Option<u32> {
        let found = values.iter().find(|value| value.path.strip_prefix(path).is_some_and(|rest| rest == name))?;
        found.text.parse().ok()
    };
    let (year, month, day) = (part(".year")?, part(".month")?, part(".day")?);
    // The object and the union around it are one path.
    let is_new = values.iter().all(|value| value.path != path);
    let is_date = is_new && year < 10_000 && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then(|| SdeValue { path: path.to_owned(), text: format!("{year:04}-{month:02}-{day:02}") })
}

/// A whole number, bare, as a string or in its union branch. The outer `None` is a syntax error.
fn whole(jiter: &mut Jiter<'_>) -> Option<Option<i64>> {
    Some(scalar(jiter)?.and_then(|text| text.parse().ok()).filter(|time| *time > 0))
}

fn flag(jiter: &mut Jiter<'_>) -> Option<Option<bool>> {
    Some(scalar(jiter)?.and_then(|text| text.parse().ok()))
}

fn scalar(jiter: &mut Jiter<'_>) -> Option<Option<String>> {
    let mut inner = SdeEvent::default();
    walk(jiter, "", 1, &mut inner)?;
    Some(inner.values.into_iter().next().map(|value| value.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, kind: &str, expected: &[(&str, &str)]) -> SdeEvent {
        let event = sde_event(json).expect("an event");
        assert_eq!(event.kind, kind);
        let found: Vec<(&str, &str)> =
            event.values.iter().map(|value| (value.path.as_str(), value.text.as_str())).collect();
        assert_eq!(found, expected, "{json}");
        event
    }

    #[test]
    fn twice_nested_and_flat_kinds_have_the_same_paths() {
        let event = check(
            r#"{"customerInfo":{"serverTimeStamp":"1717000000200","originalTimeStamp":"1717000000100",
                "customerInfo":{"customerId":"138766AC","balance":"-12.50","socialId":18446744073709551617000}},
                "sdeType":"CUSTOMER_INFO","serverTimeStamp":"1717000000200"}"#,
            "customerInfo",
            &[
                ("customerInfo.customerId", "138766AC"),
                ("customerInfo.balance", "-12.50"),
                ("customerInfo.socialId", "18446744073709551617000"),
            ],
        );
        assert_eq!((event.original_ms, event.server_ms), (Some(1_717_000_000_100), Some(1_717_000_000_200)));
        assert_eq!(event.values[1].number(), Some(-12.5));
        let event = check(
            r#"{"cartStatus":{"serverTimeStamp":3,"total":31.5,"numItems":2,"products":[
                {"quantity":1,"product":{"sku":"MG-2"}},{"quantity":1,"product":{"sku":"TP-9"}}]},
                "isAuthenticated":false,"sdeType":"CART_STATUS"}"#,
            "cartStatus",
            &[
                ("cartStatus.total", "31.5"),
                ("cartStatus.numItems", "2"),
                ("cartStatus.products.quantity", "1"),
                ("cartStatus.products.product.sku", "MG-2"),
                ("cartStatus.products.quantity", "1"),
                ("cartStatus.products.product.sku", "TP-9"),
            ],
        );
        assert_eq!(event.is_authenticated, Some(false));
    }

    #[test]
    fn old_names_and_unions_are_the_same_kinds() {
        check(
            r#"{"viewProduct":{"currency":"EUR","products":null}}"#,
            "viewedProduct",
            &[("viewedProduct.currency", "EUR")],
        );
        check(
            r#"{"formFillingError":{"visitorError":{"message":{"string":"no such street"},"code":{"string":"E7"}}}}"#,
            "visitorError",
            &[("visitorError.message", "no such street"), ("visitorError.code", "E7")],
        );
        check(
            r#"{"personalInfo":{"name":"Ada","surname":"undefined","contacts":[{"personalContact":{"email":"a@b.example"}}]}}"#,
            "personalInfo",
            &[("personalInfo.name", "Ada"), ("personalInfo.contacts.personalContact.email", "a@b.example")],
        );
        let event = check(
            r#"{"timestamp":{"long":1718002690100},"data":{"com.liveperson.dataaccess.CustomerInfo":{"isAuthenticated":null,
                "balance":{"double":12.5},"lastPaymentDate":{"com.liveperson.dataaccess.YMDDate":{"year":{"int":2024},"month":{"int":5},"day":{"int":31}}}}}}"#,
            "customerInfo",
            &[
                ("customerInfo.balance", "12.5"),
                ("customerInfo.lastPaymentDate.year", "2024"),
                ("customerInfo.lastPaymentDate.month", "5"),
                ("customerInfo.lastPaymentDate.day", "31"),
                ("customerInfo.lastPaymentDate", "2024-05-31"),
            ],
        );
        assert_eq!(event.server_ms, Some(1_718_002_690_100));
    }

    #[test]
    fn paths_are_compared_part_by_part() {
        let value = SdeValue { path: "customerInfo.customerId".into(), text: "7".into() };
        assert!(value.is_under("customerinfo") && value.is_under("CustomerInfo.customerID"));
        assert!(!value.is_under("customerInfo.customer") && !value.is_under("customerId"));
    }

    #[test]
    fn hostile_events_cost_nothing_but_themselves() {
        let deep = format!("{{\"a\":{}{}}}", "{\"b\":".repeat(100), "1".to_owned() + &"}".repeat(100));
        assert!(sde_event(&deep).is_some_and(|event| event.values.is_empty()));
        for broken in ["", "[]", "7", "{\"a\":", "{\"a\":{\"b\":tru}}"] {
            assert_eq!(sde_event(broken), None, "{broken}");
        }
        assert_eq!(as_number("1e999"), None);
        assert_eq!(as_number("NaN"), None);
        assert_eq!(as_number("-0"), Some(0.0));
    }
}
