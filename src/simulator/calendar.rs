//! Which conversations lie in which hourly file, by arithmetic alone.
//!
//! Hours carry a day, night and weekday load. Cumulative weights divide the conversation numbers
//! `0..n` over the hours with exact integers, so the sum over all files is always the size of the
//! account and no table grows with it. A conversation lies in the hour in which it closed.

use std::ops::Range;

use super::dice::mix;

/// Length of one generating window in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;

/// Relative load of the hours of a day (UTC).
const DAY_LOAD: [u64; 24] = [
    9, 6, 4, 3, 3, 5, 12, 26, 48, 66, 78, 84, 80, 76, 79, 80, 74, 66, 58, 52, 44, 34, 24, 14,
];
/// Relative load of the weekdays, Sunday first.
const WEEK_LOAD: [u64; 7] = [45, 110, 104, 100, 98, 92, 60];

const LOAD_STREAM: u64 = 21;
const PARTS_STREAM: u64 = 22;
const FORM_STREAM: u64 = 23;
const REVISION_STREAM: u64 = 24;

/// How the records of a file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileForm {
    /// One JSON object per line; `metaData` and `recordCollection` wrapped in their union branch.
    WrappedLines,
    /// One JSON object per line; both bare, as the documentation prints them.
    BareLines,
    /// One compact JSON document with every conversation in one `recordCollection`.
    Document,
    /// The same document, indented.
    PrettyDocument,
}

impl FileForm {
    /// True for the forms with one top-level value for the whole file.
    #[must_use]
    pub fn is_document(self) -> bool {
        matches!(self, Self::Document | Self::PrettyDocument)
    }
}

/// Which forms the files of an account take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormMix {
    /// 13 of 16 wrapped lines, 1 of 16 bare lines, 1 compact and 1 indented document in 16.
    #[default]
    Mixed,
    /// Wrapped lines only.
    NdjsonOnly,
    /// Compact and indented documents only.
    SingleDocument,
}

/// One file of the account: enough to write it without any other state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Start of the generating window, epoch milliseconds.
    pub start_ms: i64,
    /// End of the generating window, epoch milliseconds, exclusive.
    pub end_ms: i64,
    /// Number of the part in the name.
    pub part: u32,
    /// Layout of the records.
    pub form: FileForm,
    /// Number of gzip members.
    pub members: u32,
    /// True when characters beyond ASCII are written as `\u` escapes.
    pub ascii_only: bool,
    /// Conversations that closed in this part, first time told.
    pub conversations: Range<u64>,
    /// Earlier conversations among which the revised ones are told again here.
    pub(super) revisable: Range<u64>,
    /// Which share of those belongs to this part: (part, parts).
    pub(super) share: (u64, u64),
}

impl FileSpec {
    /// The full name, `Engagement.<start>.<end>.part-<n>-0.gz`.
    #[must_use]
    pub fn name(&self) -> String {
        let Self {
            start_ms,
            end_ms,
            part,
            ..
        } = self;
        format!("Engagement.{start_ms}.{end_ms}.part-{part:05}-0.gz")
    }

    /// True when revised conversation `index` is told again in this part.
    pub(super) fn retells(&self, index: u64) -> bool {
        index % self.share.1 == self.share.0
    }
}

/// The division of an account's conversations over hours and parts.
#[derive(Debug)]
pub(super) struct Calendar {
    seed: u64,
    start_ms: i64,
    /// First conversation of each hour, and the total as last entry.
    first: Vec<u64>,
    /// Per hour the next hour that holds anything; revisions appear there.
    next_filled: Vec<Option<usize>>,
    busiest: usize,
    parts_per_hour: u64,
    conversations_per_part: u64,
    revised_permille: u64,
    forms: FormMix,
}

/// What a calendar is made from.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) seed: u64,
    pub(super) end_ms: i64,
    pub(super) hours: u32,
    pub(super) conversations: u64,
    pub(super) parts_per_hour: u32,
    pub(super) conversations_per_part: u64,
    pub(super) revised_permille: u32,
    pub(super) forms: FormMix,
}

impl Calendar {
    pub(super) fn new(wanted: &Allocation) -> Self {
        let start_ms = wanted.end_ms - i64::from(wanted.hours) * HOUR_MS;
        let weights = (0..wanted.hours).map(|hour| {
            let jitter = 90 + mix(wanted.seed, LOAD_STREAM, u64::from(hour)) % 21;
            load(start_ms + i64::from(hour) * HOUR_MS) * jitter
        });
        let weights: Vec<u64> = weights.collect();
        let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
        let mut first = vec![0];
        let mut so_far = 0_u128;
        for &weight in &weights {
            so_far += u128::from(weight);
            first.push((u128::from(wanted.conversations) * so_far / total.max(1)) as u64);
        }
        let count = |hour: usize| first[hour + 1] - first[hour];
        let mut next_filled = vec![None; weights.len()];
        let mut next = None;
        for hour in (0..weights.len()).rev() {
            next_filled[hour] = next;
            if count(hour) > 0 {
                next = Some(hour);
            }
        }
        let busiest = (0..weights.len())
            .max_by_key(|&hour| count(hour))
            .unwrap_or(0);
        Self {
            seed: wanted.seed,
            start_ms,
            next_filled,
            busiest,
            parts_per_hour: u64::from(wanted.parts_per_hour.max(1)),
            conversations_per_part: wanted.conversations_per_part.max(1),
            revised_permille: u64::from(wanted.revised_permille),
            forms: wanted.forms,
            first,
        }
    }

    /// Number of hours the account spans.
    pub(super) fn hours(&self) -> usize {
        self.first.len() - 1
    }

    /// Start of an hour, epoch milliseconds.
    pub(super) fn hour_start_ms(&self, hour: usize) -> i64 {
        self.start_ms + hour as i64 * HOUR_MS
    }

    /// The hour whose window starts at `start_ms`.
    pub(super) fn hour_at(&self, start_ms: i64) -> Option<usize> {
        let offset = start_ms.checked_sub(self.start_ms)?;
        let hour = usize::try_from(offset / HOUR_MS).ok()?;
        (offset >= 0 && offset % HOUR_MS == 0 && hour < self.hours()).then_some(hour)
    }

    /// The hour in which conversation `index` closed.
    pub(super) fn hour_of(&self, index: u64) -> usize {
        self.first
            .partition_point(|&first| first <= index)
            .saturating_sub(1)
    }

    /// Numbers of the conversations that closed in an hour.
    pub(super) fn conversations_in(&self, hour: usize) -> Range<u64> {
        self.first[hour]..self.first[hour + 1]
    }

    /// The hour in which conversation `index` is told again with more messages, if it is.
    pub(super) fn revised_in(&self, index: u64) -> Option<usize> {
        let chosen = mix(self.seed, REVISION_STREAM, index) % 1000 < self.revised_permille;
        if chosen {
            self.next_filled[self.hour_of(index)]
        } else {
            None
        }
    }

    /// The files of one hour; none when nothing closed in it.
    pub(super) fn files_of(&self, hour: usize) -> Vec<FileSpec> {
        let all = self.conversations_in(hour);
        let count = all.end - all.start;
        if count == 0 {
            return Vec::new();
        }
        let parts = self.parts_of(hour, count);
        let previous = (0..hour)
            .rev()
            .find(|&earlier| !self.conversations_in(earlier).is_empty());
        let revisable = previous.map_or(0..0, |earlier| self.conversations_in(earlier));
        let first_part = u64::from(mix(self.seed, PARTS_STREAM + 100, hour as u64) % 40 == 7);
        let files = (0..parts).map(|part| {
            let bits = mix(self.seed, FORM_STREAM, hour as u64 * 4096 + part);
            let edge = |part: u64| all.start + count * part / parts;
            FileSpec {
                start_ms: self.hour_start_ms(hour),
                end_ms: self.hour_start_ms(hour + 1),
                part: (first_part + part) as u32,
                form: self.form(bits),
                members: if bits >> 8 & 7 == 0 {
                    2 + (bits >> 12 & 3) as u32
                } else {
                    1
                },
                ascii_only: bits >> 16 & 15 == 0,
                conversations: edge(part)..edge(part + 1),
                revisable: revisable.clone(),
                share: (part, parts),
            }
        });
        files.collect()
    }

    fn parts_of(&self, hour: usize, count: u64) -> u64 {
        let needed = count.div_ceil(self.conversations_per_part);
        let chance = mix(self.seed, PARTS_STREAM, hour as u64);
        let several = hour == self.busiest || chance.is_multiple_of(5);
        let wished = match self.parts_per_hour {
            1 => 1,
            most if several => 2 + (chance >> 8) % (most - 1),
            _ => 1,
        };
        needed.max(wished).min(count)
    }

    fn form(&self, bits: u64) -> FileForm {
        match (self.forms, bits & 15) {
            (FormMix::NdjsonOnly, _) => FileForm::WrappedLines,
            (FormMix::SingleDocument, choice) if choice % 2 == 0 => FileForm::Document,
            (FormMix::SingleDocument, _) => FileForm::PrettyDocument,
            (FormMix::Mixed, 3) => FileForm::Document,
            (FormMix::Mixed, 7) => FileForm::PrettyDocument,
            (FormMix::Mixed, 11) => FileForm::BareLines,
            (FormMix::Mixed, _) => FileForm::WrappedLines,
        }
    }
}

/// Load of the hour that starts at `start_ms`.
fn load(start_ms: i64) -> u64 {
    let hours = start_ms.div_euclid(HOUR_MS);
    let weekday = (hours.div_euclid(24) + 4).rem_euclid(7);
    DAY_LOAD[hours.rem_euclid(24) as usize] * WEEK_LOAD[weekday as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(conversations: u64, forms: FormMix) -> Calendar {
        Calendar::new(&Allocation {
            seed: 5,
            end_ms: 1_772_409_600_000,
            hours: 72,
            conversations,
            parts_per_hour: 3,
            conversations_per_part: 20_000,
            revised_permille: 7,
            forms,
        })
    }

    #[test]
    fn every_conversation_lies_in_exactly_one_file() {
        for size in [0, 1, 10, 999, 10_000_000] {
            let calendar = calendar(size, FormMix::Mixed);
            let mut next = 0;
            for file in (0..calendar.hours()).flat_map(|hour| calendar.files_of(hour)) {
                assert_eq!(file.conversations.start, next);
                assert!(file.conversations.end - file.conversations.start <= 20_000);
                next = file.conversations.end;
            }
            assert_eq!(next, size);
        }
    }

    #[test]
    fn nights_are_quiet_and_small_accounts_have_empty_hours() {
        let calendar = calendar(100_000, FormMix::Mixed);
        let count = |hour| calendar.conversations_in(hour).count();
        assert!(count(3) * 5 < count(11));
        let small = self::calendar(40, FormMix::Mixed);
        assert!((0..72).any(|hour| small.files_of(hour).is_empty()));
        assert!((0..72).any(|hour| small.files_of(hour).len() > 1));
    }

    #[test]
    fn all_four_forms_occur() {
        let calendar = calendar(50_000, FormMix::Mixed);
        let files: Vec<_> = (0..72).flat_map(|hour| calendar.files_of(hour)).collect();
        for form in [
            FileForm::WrappedLines,
            FileForm::BareLines,
            FileForm::Document,
            FileForm::PrettyDocument,
        ] {
            assert!(files.iter().any(|file| file.form == form), "{form:?}");
        }
        assert!(files.iter().any(|file| file.members > 1));
        assert!(files.iter().any(|file| file.ascii_only));
    }

    #[test]
    fn hours_are_found_by_their_start() {
        let calendar = calendar(100, FormMix::NdjsonOnly);
        assert_eq!(calendar.hour_at(calendar.hour_start_ms(5)), Some(5));
        assert_eq!(calendar.hour_at(calendar.hour_start_ms(5) + 1), None);
        assert_eq!(calendar.hour_at(calendar.hour_start_ms(72)), None);
        assert_eq!(calendar.hour_at(calendar.hour_start_ms(0) - HOUR_MS), None);
    }
}
