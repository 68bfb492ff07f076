//! Values of options that are read into something better than text: how much, around what, by which unit.

use clap::ValueEnum;

/// How many values are printed; `None` for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Top(pub(crate) Option<usize>);

impl std::str::FromStr for Top {
    type Err = String;

    fn from_str(text: &str) -> Result<Top, String> {
        match text {
            "all" => Ok(Top(None)),
            _ => text.parse().map(|count| Top(Some(count))).map_err(|_| "neither a number nor `all`".to_owned()),
        }
    }
}

/// What a part of a conversation is shown around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// A message with hits of the query: the first such is 1.
    WithHits(usize),
    /// A message, by its index as in `--json`, counted from 0.
    Message(usize),
}

impl std::str::FromStr for Around {
    type Err = String;

    fn from_str(text: &str) -> Result<Around, String> {
        let wrong =
            |_| "neither a number, such as 2 for the second message with hits, nor a message, such as m17".to_owned();
        match text.strip_prefix(['m', 'M']) {
            Some(index) => index.parse().map(Around::Message).map_err(wrong),
            None => match text.parse().map_err(wrong)? {
                0 => Err("messages with hits are counted from 1; all messages from m0".to_owned()),
                nth => Ok(Around::WithHits(nth)),
            },
        }
    }
}

/// Unit of the chart over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    /// The one that suits the span
    Auto,
    /// Five minutes
    #[value(name = "5m")]
    FiveMinutes,
    Hour,
    Day,
    Week,
    Month,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_hits_are_counted_from_one_and_all_from_zero() {
        assert_eq!("2".parse(), Ok(Around::WithHits(2)));
        assert_eq!("m0".parse(), Ok(Around::Message(0)));
        for wrong in ["0", "", "m", "-1", "m-1", "x", "99999999999999999999999"] {
            assert!(wrong.parse::<Around>().is_err(), "{wrong}");
        }
    }
}
