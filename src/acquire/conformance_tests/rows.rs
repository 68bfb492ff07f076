//! The streams: a row each, and what is different about their kinds.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::Value;

use super::figures;
use crate::acquire::tests::Lab;
use crate::acquire::{
    AcquireSettings, DataType, HistoryApi, HistoryChoice, OperationsApi, OperationsChoice, StreamChoice, StreamMode,
};
use crate::simulator::{Fault, Target};

/// One stream.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) stream: &'static str,
    pub(super) kind: Kind,
    /// The calls that tell what there is.
    pub(super) asks: fn() -> Target,
    /// The calls that bring it.
    pub(super) brings: fn() -> Target,
    /// Makes the stream the only one of a run.
    pub(super) choose: fn(&mut AcquireSettings, StreamMode),
    /// Names or ids of all that the account has at the present time.
    pub(super) truth: fn(&Lab) -> BTreeSet<String>,
    /// Those of them that the archive holds whole.
    pub(super) archived: fn(&Lab) -> BTreeSet<String>,
    /// Names under which the ledger has what became of the questions.
    pub(super) ledger: fn() -> Vec<String>,
}

/// What a stream is made of. Every test runs over every kind; what they must expect differently is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Files with a name of their own.
    Files,
    /// Answers with conversations, which change.
    Conversations,
    /// Answers with figures, which LivePerson forgets after a day, or which are about now.
    Figures,
}

impl Kind {
    /// Ways in which a body can be whole as HTTP, and damaged. A container cannot end within its JSON unnoticed, and what is no
    /// container cannot be damaged as one.
    pub(super) fn damages(self) -> Vec<Fault> {
        match self {
            Kind::Files => vec![Fault::TruncatedGzip, Fault::CorruptGzip, Fault::EmptyFile],
            Kind::Conversations | Kind::Figures => vec![Fault::TruncatedJson, Fault::EmptyFile],
        }
    }

    /// Time between two runs after which the second one asks for what the first one asked for, in part. Files and conversations
    /// are looked back at whenever a run begins. Figures are asked for again where an interval was open still, and stretches of
    /// time an hour later; before that there is nothing to ask.
    pub(super) fn pause_ms(self) -> i64 {
        match self {
            Kind::Files | Kind::Conversations => 0,
            Kind::Figures => 67 * 60_000,
        }
    }

    /// Whether what is the same comes but once. Answers are archived as they came, and two of them are never the same thing: the
    /// ledger says of which figures the archive has the final ones.
    pub(super) fn has_names(self) -> bool {
        self == Kind::Files
    }

    /// Whether an account in which nothing happened has something to tell. Nobody waited is a figure too, and is archived.
    pub(super) fn tells_of_nothing(self) -> bool {
        self == Kind::Figures
    }
}

/// A stream of hourly files.
macro_rules! data_access {
    ($data_type:expr, $prefix:literal) => {
        Row {
            stream: $data_type.stream(),
            kind: Kind::Files,
            asks: || Target::Listing,
            brings: || Target::Download(String::new()),
            choose: |settings, mode| {
                only(settings);
                settings.streams = vec![StreamChoice { data_type: $data_type, mode }];
            },
            truth: |lab| lab.true_names().iter().map(|name| name.replace("Engagement", $prefix)).collect(),
            archived: |lab| lab.archive.names_in($data_type.stream()).unwrap().into_keys().collect(),
            ledger: || vec![$data_type.stream().to_owned()],
        }
    };
}

/// A stream of figures: the call that tells that there is something is the call that brings it.
macro_rules! operations {
    ($api:expr, $target:expr) => {
        Row {
            stream: $api.stream(),
            kind: Kind::Figures,
            asks: || $target,
            brings: || $target,
            choose: |settings, mode| {
                only(settings);
                settings.operations = vec![OperationsChoice { api: $api, mode, intervals: true, states: true }];
            },
            truth: |lab| figures::truth(lab, $api),
            archived: |lab| figures::archived(lab, $api),
            ledger: || figures::ledger($api),
        }
    };
}

/// Every stream that can be acquired.
pub(super) fn rows() -> Vec<Row> {
    vec![
        data_access!(DataType::Engagement, "Engagement"),
        data_access!(DataType::AgentActivity, "Agent"),
        data_access!(DataType::Survey, "Survey"),
        data_access!(DataType::WebSession, "WebSession"),
        Row {
            stream: HistoryApi::Messaging.stream(),
            kind: Kind::Conversations,
            asks: || Target::MessagingSearch,
            brings: || Target::MessagingById,
            choose: |settings, mode| follow(settings, HistoryApi::Messaging, mode),
            truth: |lab| lab.simulator.messaging().truth(lab.simulator.now_ms()).map(|truth| truth.id).collect(),
            archived: |lab| ids_in(lab, HistoryApi::Messaging, "conversationHistoryRecords", "conversationId"),
            ledger: || backfill(HistoryApi::Messaging),
        },
        Row {
            stream: HistoryApi::Engagement.stream(),
            kind: Kind::Conversations,
            asks: || Target::HistorySearch,
            brings: || Target::HistorySearch,
            choose: |settings, mode| follow(settings, HistoryApi::Engagement, mode),
            truth: |lab| {
                let world = lab.simulator.world();
                let all = 0..world.config().conversations;
                all.filter_map(|index| world.engagement(index, lab.simulator.now_ms())).map(|chat| chat.id).collect()
            },
            archived: |lab| ids_in(lab, HistoryApi::Engagement, "interactionHistoryRecords", "engagementId"),
            ledger: || backfill(HistoryApi::Engagement),
        },
        operations!(OperationsApi::Realtime, Target::Operations),
        operations!(OperationsApi::Messaging, Target::Operations),
        operations!(OperationsApi::Agents, Target::AgentMetrics),
    ]
}

fn only(settings: &mut AcquireSettings) {
    (settings.streams, settings.histories, settings.operations) = (Vec::new(), Vec::new(), Vec::new());
}

fn follow(settings: &mut AcquireSettings, api: HistoryApi, mode: StreamMode) {
    only(settings);
    settings.histories = vec![HistoryChoice { api, mode }];
}

fn backfill(api: HistoryApi) -> Vec<String> {
    vec![format!("{}/backfill", api.stream())]
}

/// Ids of the records of which some archived answer is not cut short.
fn ids_in(lab: &Lab, api: HistoryApi, list: &str, id: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in lab.archive.files_after(0).unwrap().into_iter().filter(|file| file.stream == api.stream()) {
        let mut text = String::new();
        let bytes = lab.archive.open_file(&file).unwrap();
        flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let answer: Value = serde_json::from_str(line).unwrap();
            for record in answer["body"][list].as_array().unwrap() {
                if record["info"]["isPartial"] != true {
                    found.insert(record["info"][id].as_str().unwrap().to_owned());
                }
            }
        }
    }
    found
}
