//! `conversations/search` and `conversations/conversation/search`: every rule of their pages.
//!
//! A search walks through the conversations of its window and keeps those of its page only, so an
//! account of any size is searched in the memory of one page.

use std::collections::BinaryHeap;

use serde_json::{Map, Value, json};

use super::MessagingWorld;
use super::plan::Plan;
use super::record::{self, View};
use crate::simulator::request::{
    Asked, Page, Refusal, Reply, TimeRange, floor, link, object, parameter, source, texts, whole,
};
use crate::simulator::script::Fault;

const LONGEST_MONTHS: i32 = 3;
const MOST_IDS: usize = 100;
/// Filters that are answered; any other is refused by name.
const FILTERS: [&str; 6] = ["start", "end", "fullDialogEndTime", "latestUpdateTime", "status", "contentToRetrieve"];
/// Of so many matches one is missing when index shards fail.
const SHARDS: u64 = 3;

/// In which order matches come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Start { descending: bool },
    End { descending: bool },
}

/// The filters of a list search.
#[derive(Debug)]
struct Filters {
    start: TimeRange,
    end: Option<TimeRange>,
    full_end: Option<TimeRange>,
    updated_from_ms: Option<i64>,
    status: Option<Vec<String>>,
    now_ms: i64,
}

impl Filters {
    fn new(body: &Map<String, Value>, now_ms: i64) -> Result<Self, Refusal> {
        if let Some(unknown) = body.keys().find(|key| !FILTERS.contains(&key.as_str())) {
            return Err(Refusal::bad(format!("the filter {unknown} is not simulated")));
        }
        let range = |name| TimeRange::of(body, name, LONGEST_MONTHS, now_ms);
        let start = range("start")?.ok_or_else(|| Refusal::bad("start is required"))?;
        let updated_from_ms = match body.get("latestUpdateTime") {
            None => None,
            Some(filter) => {
                let from_ms = filter.get("from").and_then(whole);
                Some(floor(from_ms.ok_or_else(|| Refusal::bad("latestUpdateTime needs from"))?))
            }
        };
        let status = texts(body, "status")?;
        if let Some(wrong) = status.iter().flatten().find(|status| !["OPEN", "CLOSE"].contains(&status.as_str())) {
            return Err(Refusal::bad(format!("status is OPEN or CLOSE, not {wrong:?}")));
        }
        Ok(Self { start, end: range("end")?, full_end: range("fullDialogEndTime")?, updated_from_ms, status, now_ms })
    }

    fn hold(&self, plan: &Plan) -> bool {
        let status = if plan.is_open(self.now_ms) { "OPEN" } else { "CLOSE" };
        let within = |range: Option<TimeRange>, at_ms: Option<i64>| {
            range.is_none_or(|range| at_ms.is_some_and(|at_ms| range.holds(at_ms)))
        };
        self.status.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| wanted == status))
            && within(self.end, plan.end_ms(self.now_ms))
            && within(self.full_end, plan.full_end_ms(self.now_ms))
            && self.updated_from_ms.is_none_or(|from_ms| plan.latest_update_ms(self.now_ms) >= from_ms)
    }
}

/// `POST …/conversations/search`.
pub(in crate::simulator) fn search(world: &MessagingWorld, asked: &Asked) -> Result<Reply, Refusal> {
    let page = Page::of_search(&asked.query, asked.window)?;
    let order = order(&asked.query)?;
    let body = object(&asked.body)?;
    let filters = Filters::new(&body, asked.now_ms)?;
    let view = view(&asked.query, &body, asked.now_ms, false)?;
    let window = world.starting(filters.start.from_ms, filters.start.to_ms.min(asked.now_ms));
    let mut late = asked.has(&Fault::NotYet);
    let mut matches = Matches::new(page, order);
    let backwards = order == Order::Start { descending: true };
    let (first, size) = (window.start, window.end - window.start);
    for place in 0..size {
        let index = if backwards { window.end - 1 - place } else { first + place };
        let plan = world.plan(index);
        if !filters.hold(&plan) || std::mem::take(&mut late) {
            continue;
        }
        if asked.has(&Fault::PartialResult) && index.is_multiple_of(SHARDS) {
            continue;
        }
        matches.add(index, plan.end_ms(asked.now_ms));
    }
    let (count, indexes) = matches.finish();
    let records = indexes.into_iter().map(|index| record::of(world, &world.plan(index), &view)).collect();
    Ok(reply(asked, count, records, link("self", &asked.address, page.limit, u64::from(page.offset))))
}

/// `POST …/conversations/conversation/search`.
pub(in crate::simulator) fn by_id(world: &MessagingWorld, asked: &Asked) -> Result<Reply, Refusal> {
    source(&asked.query)?;
    let body = object(&asked.body)?;
    let ids = match texts(&body, "conversationIds")? {
        Some(ids) => ids,
        None => match body.get("conversationId").and_then(Value::as_str) {
            Some(id) => vec![id.to_owned()],
            None => return Err(Refusal::bad("conversationId or conversationIds is required")),
        },
    };
    if ids.len() > MOST_IDS {
        return Err(Refusal::bad(format!("conversationIds holds {} ids; at most {MOST_IDS} are allowed", ids.len())));
    }
    let view = view(&asked.query, &body, asked.now_ms, true)?;
    let mut indexes: Vec<u64> = ids.iter().filter_map(|id| world.index_of(id)).collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes.retain(|&index| world.start_ms(index) <= asked.now_ms);
    if asked.has(&Fault::PartialResult) {
        indexes.retain(|index| !index.is_multiple_of(SHARDS));
    }
    let records: Vec<Value> = indexes.iter().map(|&index| record::of(world, &world.plan(index), &view)).collect();
    Ok(reply(asked, indexes.len() as u64, records, link("self", &asked.address, 50, 0)))
}

fn reply(asked: &Asked, count: u64, records: Vec<Value>, own: Value) -> Reply {
    if count == 0 && asked.has(&Fault::NoContent) {
        return Reply::NoContent;
    }
    let partial = asked.has(&Fault::PartialResult);
    let mut found = json!({
        "_metadata": { "count": count, "self": own, "shardsStatusResult": { "partialResult": partial } },
    });
    if !asked.has(&Fault::WithoutRecords) {
        found["conversationHistoryRecords"] = Value::Array(records);
    }
    Reply::Found(found)
}

fn order(query: &str) -> Result<Order, Refusal> {
    match parameter(query, "sort").as_deref() {
        Some("start:asc") => Ok(Order::Start { descending: false }),
        None | Some("start:desc") => Ok(Order::Start { descending: true }),
        Some("end:asc") => Ok(Order::End { descending: false }),
        Some("end:desc") => Ok(Order::End { descending: true }),
        Some(other) => Err(Refusal::bad(format!("sort is start or end with :asc or :desc, not {other:?}"))),
    }
}

fn view(query: &str, body: &Map<String, Value>, now_ms: i64, by_id: bool) -> Result<View, Refusal> {
    let version = match parameter(query, "v").as_deref() {
        None | Some("1") => 1,
        Some("2") => 2,
        Some(other) => return Err(Refusal::bad(format!("v is 1 or 2, not {other:?}"))),
    };
    Ok(View { version, by_id, content: texts(body, "contentToRetrieve")?, now_ms })
}

/// The matches of one page, found one after another.
#[derive(Debug)]
struct Matches {
    page: Page,
    order: Order,
    count: u64,
    /// Of the page, when they come in its order.
    inside: Vec<u64>,
    /// The first ones by end, when they do not; the last of them on top.
    by_end: BinaryHeap<(i64, u64)>,
}

impl Matches {
    fn new(page: Page, order: Order) -> Self {
        Self { page, order, count: 0, inside: Vec::new(), by_end: BinaryHeap::new() }
    }

    /// Open conversations have no end and come last in either order.
    fn add(&mut self, index: u64, end_ms: Option<i64>) {
        if let Order::End { descending } = self.order {
            let key = end_ms.map_or(i64::MAX, |end_ms| if descending { -end_ms } else { end_ms });
            self.by_end.push((key, index));
            if self.by_end.len() > self.page.offset as usize + self.page.limit as usize {
                self.by_end.pop();
            }
        } else if self.page.holds(self.count) {
            self.inside.push(index);
        }
        self.count += 1;
    }

    fn finish(self) -> (u64, Vec<u64>) {
        if matches!(self.order, Order::Start { .. }) {
            return (self.count, self.inside);
        }
        let sorted = self.by_end.into_sorted_vec().into_iter();
        (self.count, sorted.skip(self.page.offset as usize).map(|(_, index)| index).collect())
    }
}
