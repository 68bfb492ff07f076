//! Archives made of single answers → what the series says of them.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::archive::{ApiAnswer, Clock, RealDisk};
use std::fmt::Write as _;
use std::sync::Arc;

const MINUTE: i64 = 60_000;
/// A whole UTC day.
const DAY: i64 = 1_790_035_200_000 - 1_790_035_200_000 % DAY_MS;

/// A vault whose files hold these answers: (minute of the answer, call and query, body).
struct Vault {
    _folder: tempfile::TempDir,
    archive: Archive,
}

impl Vault {
    fn new(files: &[&[(f64, &str, String)]]) -> Vault {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("vault"), "1", Arc::new(RealDisk), Clock::System).unwrap();
        for answers in files {
            let mut segment = archive.answers(OPERATIONS[0]).unwrap();
            for (minute, request, body) in *answers {
                let (call, query) = request.split_once('?').unwrap();
                let answer = ApiAnswer {
                    stream: OPERATIONS[0],
                    call,
                    method: "GET",
                    url: &format!("https://lo.example/{call}?{query}"),
                    request_body: &serde_json::Value::Null,
                    status: 200,
                    response: &BTreeMap::new(),
                    received_ms: DAY + (minute * MINUTE as f64) as i64,
                    clock_offset_ms: Some(0),
                    body: body.as_bytes(),
                };
                segment.append(&answer).unwrap();
            }
            segment.seal().unwrap();
        }
        Vault { _folder: folder, archive }
    }

    /// The series as text: a line for each time, its points behind it; times in minutes of the day.
    fn told(&self, filter: &SeriesFilter, max_points: usize) -> (Vec<String>, SeriesReport) {
        let options = SeriesOptions { max_points, ..SeriesOptions::default() };
        let mut told: Vec<String> = Vec::new();
        let report = series(&self.archive, OPERATIONS[0], filter, options, &mut |span, point| {
            let minute = |at_ms: i64| (at_ms - DAY) as f64 / MINUTE as f64;
            match point {
                None => {
                    let open = if span.is_open { " open" } else { "" };
                    told.push(format!(
                        "{} {}..{}{open}",
                        span.call,
                        minute(span.span.start_ms),
                        minute(span.span.end_ms)
                    ));
                }
                Some(point) => {
                    let skill = point.dimensions.skill.as_ref().map(|skill| format!("{skill}:")).unwrap_or_default();
                    let FigureValue::Number(value) = point.value else { panic!("{point:?}") };
                    // In parts, points may come long after the times.
                    let time = format!("{} {}..{}", span.call, minute(span.span.start_ms), minute(span.span.end_ms));
                    let place = told.iter_mut().find(|line| line.starts_with(&time)).unwrap();
                    write!(place, " {skill}{}={value}", point.metric).unwrap();
                }
            }
        })
        .unwrap();
        (told, report)
    }
}

/// Intervals of queuehealth: (minute of the end, count), also by skill.
fn intervals(list: &[(i64, i64)]) -> String {
    let one = |(end, count): &(i64, i64)| {
        let stamp = DAY + end * MINUTE;
        format!(
            r#"{{"timestamp":{stamp},"metricsData":{{"skillsMetrics":{{"7":{{"n":{count}}}}},"metricsTotals":{{"n":{count}}}}}}}"#
        )
    };
    format!(
        r#"{{"metricsByIntervals":[{}],"metricsTotals":{{"n":99}}}}"#,
        list.iter().map(one).collect::<Vec<_>>().join(",")
    )
}

const ASKED: &str = "queuehealth?timeframe=10&interval=5&skillIds=all";

#[test]
fn the_latest_answer_counts_and_holes_are_named() {
    let vault = Vault::new(&[
        &[(602.0, ASKED, intervals(&[(605, 1), (600, 5)])), (606.0, ASKED, intervals(&[(610, 2), (605, 4)]))],
        // A pause, then the last interval is still open.
        &[(627.0, ASKED, intervals(&[(630, 1), (625, 7)]))],
    ]);
    let (told, report) = vault.told(&SeriesFilter::default(), 1000);
    assert_eq!(
        told,
        [
            "queuehealth 595..600 n=5 7:n=5",
            "queuehealth 600..605 n=4 7:n=4",
            "queuehealth 605..610 open n=2 7:n=2",
            "queuehealth 620..625 n=7 7:n=7",
            "queuehealth 625..630 open n=1 7:n=1",
        ]
    );
    let call = &report.calls["queuehealth"];
    assert_eq!((report.files, call.answers, call.intervals, call.open), (2, 3, 5, 2));
    assert_eq!((call.windows, call.beside_intervals), (0, 3), "the whole window says the same again");
    assert_eq!((call.points, call.said_again, call.overlaps), (10, 2, 0));
    let hole =
        Hole { kind: SpanKind::Interval, start_ms: DAY + 610 * MINUTE, end_ms: DAY + 620 * MINUTE, is_overlap: false };
    assert_eq!((call.hole_count, call.hole_ms, &call.holes[..]), (1, 10 * MINUTE, &[hole][..]));
    let (first, last) = call.coverage.clone().unwrap();
    assert_eq!((first.answered_ms, last.answered_ms), (DAY + 602 * MINUTE, DAY + 627 * MINUTE));
    assert!(
        first.file.starts_with("files/")
            && first.sha256.is_some_and(|sha256| sha256.len() == 64)
            && first.file != last.file
    );
}

#[test]
fn times_of_different_grids_are_never_added() {
    let anchored = |list: &[(f64, i64)]| {
        let one = |(start, count): &(f64, i64)| {
            format!(r#"{{"timestamp":{},"metricsTotal":{{"n":{count}}}}}"#, DAY + (start * MINUTE as f64) as i64)
        };
        format!(r#"{{"metricsByIntervals":[{}]}}"#, list.iter().map(one).collect::<Vec<_>>().join(","))
    };
    let asked = "msgskillsegments?timeframe=10&interval=5";
    let vault = Vault::new(&[&[
        (600.0, asked, anchored(&[(595.0, 1), (590.0, 2)])),
        (605.5, asked, anchored(&[(600.5, 4), (595.5, 8)])),
    ]]);
    let (told, report) = vault.told(&SeriesFilter::default(), 1000);
    let expected =
        ["msgskillsegments 590..595 n=2", "msgskillsegments 595..600 n=1", "msgskillsegments 600.5..605.5 n=4"];
    assert_eq!(told, expected);
    let call = &report.calls["msgskillsegments"];
    assert_eq!((call.overlaps, call.points_overlapping), (1, 1));
    assert!(call.hole_count == 1 && call.hole_ms == MINUTE / 2 && call.holes[0].is_overlap, "{call:?}");
}

#[test]
fn bounds_do_not_change_what_is_said() {
    // Three days, a hundred skills: more points than fit at a time, on each day alone too.
    let body = |minute: i64| {
        let skills: Vec<String> = (0..100).map(|skill| format!(r#""{skill}":{{"n":{}}}"#, skill + minute)).collect();
        let stamp = DAY + minute * MINUTE;
        format!(
            r#"{{"metricsByIntervals":[{{"timestamp":{stamp},"metricsData":{{"skillsMetrics":{{{}}}}}}}]}}"#,
            skills.join(",")
        )
    };
    let asked = "queuehealth?timeframe=5&interval=5";
    let days: Vec<Vec<(f64, &str, String)>> =
        (0..3).map(|day| vec![(f64::from(day) * 1440.0 + 60.0, asked, body(i64::from(day) * 1440 + 60))]).collect();
    let files: Vec<&[(f64, &str, String)]> = days.iter().map(Vec::as_slice).collect();
    let vault = Vault::new(&files);
    let sorted = |mut told: Vec<String>| {
        for line in &mut told {
            let mut words: Vec<&str> = line.split(' ').collect();
            words[2..].sort_unstable();
            *line = words.join(" ");
        }
        told
    };
    let (whole, report) = vault.told(&SeriesFilter::default(), 1_000_000);
    assert_eq!((whole.len(), report.calls["queuehealth"].points, report.calls["queuehealth"].hole_count), (3, 300, 2));
    for max_points in [900, 300] {
        let (told, bounded) = vault.told(&SeriesFilter::default(), max_points);
        assert_eq!(sorted(told), sorted(whole.clone()), "{max_points}");
        assert_eq!(format!("{:?}", bounded.calls), format!("{:?}", report.calls), "{max_points}");
        assert_eq!(bounded.too_many, 0);
    }
    let from = SeriesFilter { from_ms: Some(DAY + DAY_MS), skill: Some("7".to_owned()), ..SeriesFilter::default() };
    let (told, _) = vault.told(&from, 1_000_000);
    assert_eq!(told, ["queuehealth 1495..1500 7:n=1507", "queuehealth 2935..2940 7:n=2947"]);
}
