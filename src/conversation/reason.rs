//! Labels for end and start reasons.
//!
//! Data Access and Engagement History share the end-reason list; their start-reason lists clash, so a start reason
//! gets a label only for the source that it came from (reference `data-access.md`, section 7).

/// Label of an end reason, for people: `205` is "Visitor disconnected". Other codes exist; they have no label.
pub fn end_reason_label(code: i64) -> Option<&'static str> {
    Some(match code {
        101 => "Transfer to agent",
        106 => "Transfer to skill",
        201 => "Agent stopped chat",
        202 => "Agent disconnected",
        205 => "Visitor disconnected",
        208 => "Visitor no longer in chat",
        210 => "Visitor closed chat",
        _ => return None,
    })
}

/// Label of a Data Access start reason.
pub fn start_reason_label(code: i64) -> Option<&'static str> {
    Some(match code {
        0 => "Visitor request",
        2 => "Transfer",
        3 => "Transfer failed",
        _ => return None,
    })
}
