//! The request of an archived answer, as far as its figures depend on it.

use super::super::avro_json::Broken;
use super::super::fields::Fields;

/// What a request asked for: the query of its address, and its body where that is an object.
#[derive(Default)]
pub(super) struct Asked {
    pairs: Vec<(String, String)>,
    /// Account in the path of the address.
    pub(super) account: Option<String>,
}

impl Asked {
    pub(super) fn of(json: &[u8]) -> Result<Asked, Broken> {
        let mut request = Fields::of(json)?;
        let url = request.any_text(&["url"])?.unwrap_or_default();
        let (address, query) = url.split_once('?').unwrap_or((&url, ""));
        let account = address.split_once("/account/").and_then(|(_, rest)| rest.split('/').next());
        let account = account.filter(|account| !account.is_empty()).map(str::to_owned);
        let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if let Some(body) = request.take(&["body"]).filter(|body| body.starts_with(b"{")) {
            let mut body = Fields::of(body)?;
            for name in ["timeframe", "interval", "v", "fromMillis", "toMillis"] {
                pairs.extend(body.any_text(&[name])?.map(|value| (name.to_owned(), value)));
            }
        }
        Ok(Asked { pairs, account })
    }

    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        let value = &self.pairs.iter().rev().find(|(known, _)| known == name)?.1;
        value.trim().parse().ok().filter(|number| *number >= 0)
    }
}
