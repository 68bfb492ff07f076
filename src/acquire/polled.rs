//! What the ledger knows of the polled APIs: up to where a method's figures are archived, what of them was lost, what is due.
//!
//! A method has two names in the ledger: `<stream>/<call>`, whose listings are the windows that answers hold for good (of a
//! state: the moments at which it was asked for), and `<stream>/<call>/lost`, whose listings are the windows that LivePerson
//! had forgotten before anybody asked.

use crate::archive::{Archive, ArchiveError, Window};

use super::intervals::{REACH_MS, ServerTime, covered, due};
use super::operations::{INTERVALS, Kind, Method, OperationsApi};
use super::passes::reached;
use super::report::{LostFigures, PlannedQuestion};
use super::settings::AcquireSettings;

/// Ledger name of a method's cursor.
pub(super) fn name_of(api: OperationsApi, method: &Method) -> String {
    format!("{}/{}", api.stream(), method.call)
}

/// Ledger name of the times that a method's figures were lost of.
pub(super) fn losses_of(name: &str) -> String {
    format!("{name}/lost")
}

/// Up to when a method's figures are archived, with what was lost passed over; `None` before its first answer.
pub(super) fn cursor_of(archive: &Archive, name: &str) -> Result<Option<i64>, ArchiveError> {
    let answered = archive.listings_in(name)?.into_iter().filter(|listing| listing.is_answered());
    let mut windows: Vec<Window> = answered.map(|listing| listing.asked).collect();
    windows.extend(archive.listings_in(&losses_of(name))?.into_iter().map(|listing| listing.asked));
    Ok(reached(windows))
}

/// What of a stream's figures is lost for ever, as the ledger knows: nobody asked for them within 24 hours.
///
/// # Errors
/// Ledger errors.
pub fn lost_figures(archive: &Archive, api: OperationsApi) -> Result<Vec<LostFigures>, ArchiveError> {
    let mut lost = Vec::new();
    for method in api.methods().iter().filter(|method| method.kind != Kind::State) {
        let listings = archive.listings_in(&losses_of(&name_of(api, method)))?;
        lost.extend(listings.into_iter().map(|listing| LostFigures { call: method.call, window: listing.asked }));
    }
    Ok(lost)
}

/// Up to when the figures of each method are archived, losses apart, epoch milliseconds; only methods that were answered once.
///
/// # Errors
/// Ledger errors.
pub fn figure_cursors(archive: &Archive, api: OperationsApi) -> Result<Vec<(&'static str, i64)>, ArchiveError> {
    let mut cursors = Vec::new();
    for method in api.methods().iter().filter(|method| method.kind != Kind::State) {
        cursors.extend(cursor_of(archive, &name_of(api, method))?.map(|cursor| (method.call, cursor)));
    }
    Ok(cursors)
}

/// Figures that LivePerson has forgotten by now and the ledger does not call lost yet: the next round writes them down.
pub(super) fn losses_ahead(
    archive: &Archive,
    api: OperationsApi,
    now_ms: i64,
) -> Result<Vec<LostFigures>, ArchiveError> {
    let end_ms = now_ms - REACH_MS;
    let cursors = figure_cursors(archive, api)?.into_iter().filter(|(_, cursor)| *cursor < end_ms);
    Ok(cursors.map(|(call, start_ms)| LostFigures { call, window: Window { start_ms, end_ms } }).collect())
}

/// How a method of a stream has fared, epoch milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodAsked {
    /// The method, such as `queuehealth`.
    pub call: &'static str,
    /// Its last answer in the ledger; that of a state is at most minutes behind the archive's.
    pub answered_ms: Option<i64>,
    /// The last time that it failed.
    pub failed_ms: Option<i64>,
}

/// How each method of a stream has fared.
///
/// # Errors
/// Ledger errors.
pub fn asked_of(archive: &Archive, api: OperationsApi) -> Result<Vec<MethodAsked>, ArchiveError> {
    let mut found = Vec::new();
    for method in api.methods() {
        let mut asked = MethodAsked { call: method.call, answered_ms: None, failed_ms: None };
        for listing in archive.listings_in(&name_of(api, method))? {
            let slot = if listing.is_answered() { &mut asked.answered_ms } else { &mut asked.failed_ms };
            *slot = (*slot).max(Some(listing.listed_ms));
        }
        found.push(asked);
    }
    Ok(found)
}

/// Up to when the figures of a stream are archived without a hole, losses apart: the earliest cursor of its methods. `None` for
/// a stream that has only states, or was never answered.
///
/// # Errors
/// Ledger errors.
pub fn polled_until(archive: &Archive, api: OperationsApi) -> Result<Option<i64>, ArchiveError> {
    let mut until: Option<i64> = None;
    for method in api.methods().iter().filter(|method| method.kind != Kind::State) {
        // A method that was never answered is not permitted, and says nothing about the others.
        if let Some(cursor) = cursor_of(archive, &name_of(api, method))? {
            until = Some(until.map_or(cursor, |until| until.min(cursor)));
        }
    }
    Ok(until)
}

/// What the next round would ask a stream's methods for.
///
/// # Errors
/// Ledger errors.
pub(super) fn questions(
    archive: &Archive,
    settings: &AcquireSettings,
    api: OperationsApi,
) -> Result<Vec<PlannedQuestion>, ArchiveError> {
    let now = ServerTime::of(settings.clock.now_ms(), None);
    let mut questions = Vec::new();
    for method in api.methods() {
        let name = method.call.to_owned();
        if method.kind == Kind::State {
            // Whether there is a skill to ask for is known from the other answers only.
            let least_calls = u64::from(!method.wants_skills());
            questions.push(PlannedQuestion { name, window: None, least_calls });
            continue;
        }
        let cursor = cursor_of(archive, &name_of(api, method))?.filter(|cursor| *cursor <= now.latest_ms);
        if let Some(question) = due(method.kind, cursor, now, INTERVALS[0]) {
            let window = Some(covered(method.kind, question, now, now));
            questions.push(PlannedQuestion { name, window, least_calls: 1 });
        }
    }
    Ok(questions)
}
