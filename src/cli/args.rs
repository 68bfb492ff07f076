//! The command line. Only commands that work are listed.

use super::choices::{Around, Top, Unit};
use super::search_args::FORMS;
pub(crate) use super::search_args::{Search, SyntaxName};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Archive every LivePerson conversation before it is deleted, prove the bytes unchanged, search them offline.
#[derive(Debug, Parser)]
#[command(name = "chatvault", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// The vault [default: the nearest parent folder that holds a vault.toml]
    #[arg(long, global = true, value_name = "DIR", env = "CHATVAULT_VAULT")]
    pub(crate) vault: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true, conflicts_with = "ndjson")]
    pub(crate) json: bool,
    /// Print a stream of JSON objects, one a line
    #[arg(long, global = true)]
    pub(crate) ndjson: bool,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    /// When to show progress
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) progress: ProgressWhen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressWhen {
    /// On a terminal
    Auto,
    Always,
    Never,
    /// One JSON object a line, on stderr
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole story on a simulated account: make a vault, sync it over HTTP, index, search
    Demo(Demo),
    /// Make a vault and a commented vault.toml
    Init(Init),
    /// Check credentials, clock, hosts, permissions, disk and keys: one line each, with the cure
    Doctor,
    /// Show what sync would do; changes nothing
    Plan,
    /// Everything new from LivePerson into the archive, then into the index
    Sync(Sync),
    /// Sync for ever, each stream at its own pace: new SDEs are searchable within a minute
    Watch(Watch),
    /// Add files or folders already on disk
    Import(Import),
    /// Show which hours are missing, damaged or about to be deleted; reads the ledger only
    #[command(after_help = GAPS)]
    Gaps(Gaps),
    /// Bring the index up to the archive
    Index(Index),
    /// Find conversations
    #[command(after_long_help = FORMS)]
    Search(Search),
    /// Name queries and keep them in the vault: `saved:NAME` stands for one in any query
    Saved(super::saved::Saved),
    /// Show one conversation as a transcript
    Show(Show),
    /// Count and chart conversations
    Stats(Stats),
    /// Hand over what a search finds, or everything
    #[command(after_help = EXPORT)]
    Export(Export),
    /// Re-read the archive and prove it unchanged
    Verify(Verify),
    /// Mend what verify found: fetch lost files again, take strays in, rebuild a lost vault.db
    #[command(after_help = REPAIR)]
    Repair(Repair),
    /// The audit chain: list, export, anchor and compare it; proofs that need neither vault nor program
    Audit(super::audit::Audit),
    /// Measure every stage on your files or on a generated corpus, beside what this machine allows
    #[command(after_help = super::bench::EXAMPLES)]
    Bench(super::bench::Bench),
    /// Serve a simulated LivePerson account on a loopback port
    Simulate(Simulate),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Conversations of the simulated account
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) conversations: u64,
    /// Seed of the simulated account
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) memory: super::limits::Memory,
    /// Show how fresh each stream is, from the ledger, and end
    #[arg(long)]
    pub(crate) status: bool,
    /// Ask every stream this often, instead of at its own pace (messaging 30s, chats 5m, files 15m, figures of intervals 5m, of states 1m)
    #[arg(long, value_name = "DURATION", conflicts_with = "status")]
    pub(crate) every: Option<String>,
    /// Write metrics in Prometheus text format to this file after each round
    #[arg(long, value_name = "FILE", conflicts_with = "status")]
    pub(crate) metrics: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Folder of the new vault
    pub(crate) dir: PathBuf,
    /// LivePerson account number
    #[arg(long, value_name = "ID")]
    pub(crate) account: String,
    /// Region of the Data Access host
    #[arg(long, value_name = "REGION", default_value = "va", value_parser = ["va", "lo", "sy"])]
    pub(crate) region: String,
}

#[derive(Args, Debug)]
pub(crate) struct Sync {
    #[command(flatten)]
    pub(crate) memory: super::limits::Memory,
    /// How far back to go, such as 12h or 7d [default: as in vault.toml]
    #[arg(long, value_name = "AGE")]
    pub(crate) start: Option<String>,
    /// Requests at the same time [default: as in vault.toml]
    #[arg(long, value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// Requests per second [default: as in vault.toml]
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_second: Option<f64>,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) memory: super::limits::Memory,
    /// Files, folders and bags (BagIt): gzip, zip, JSON, NDJSON, Avro; told by content, not by name
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// What the states mean, for `gaps --help`.
const GAPS: &str = "\
States:
  missing   nobody knows what LivePerson has for this hour, or a file is gone
  damaged   a file came damaged, or verify found it so; the next sync fetches it again
  listed    a file was listed and is not here; no gap where none was listed: not confirmed yet
  expired   LivePerson has deleted what was not fetched
  fetched   every listed file is here        sealed   and two listings agree that it is all of them
  empty     two listings agree that there is nothing

Exits with 8 when there are gaps; `gaps accept` takes expired hours out of that. Every time is UTC; --json lists each hour, text joins neighbours.";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Gaps {
    #[command(subcommand)]
    pub(crate) action: Option<GapsAction>,
    /// Show the hours without gaps too
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GapsAction {
    /// Accept hours that LivePerson has deleted as lost, so that they count no more
    #[command(after_help = ACCEPT)]
    Accept(GapsAccept),
}

/// How hours are named, for `gaps accept --help`.
const ACCEPT: &str = "\
Only hours in the state `expired` can be accepted; others can still be had. The acceptance is an event of
the audit chain, with who, when and why. A file that turns up later makes its hour a gap again. Figures
that were lost are accepted by their method: the stream is then such as operational-realtime/queuehealth.

Example:
  chatvault gaps accept data-access/engagement 2026-10-01T05..2026-10-01T09 --reason 'outage, ticket 4711'";

#[derive(Args, Debug)]
pub(crate) struct GapsAccept {
    /// Stream, such as data-access/engagement
    #[arg(value_name = "STREAM")]
    pub(crate) stream: String,
    /// Hours, UTC, as START..END: 2026-10-01T05:00Z..2026-10-01T09:00Z; a day alone, or at the end, is meant whole
    #[arg(value_name = "START..END")]
    pub(crate) hours: String,
    /// Why, in words that an auditor understands
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who accepts it [default: the user name of the system]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Index {
    #[command(flatten)]
    pub(crate) memory: super::limits::Memory,
    /// Make a new index aside and swap it in
    #[arg(long)]
    pub(crate) rebuild: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Conversation id, or a hit's key
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print the records as LivePerson sent them
    #[arg(long, conflicts_with = "revisions")]
    pub(crate) raw: bool,
    /// Print every version
    #[arg(long)]
    pub(crate) revisions: bool,
    /// Print where sources differ, field by field
    #[arg(long, conflicts_with_all = ["raw", "revisions"])]
    pub(crate) sources: bool,
    /// Mark the words that make the conversation a hit of this query, and count its hits as a term report does
    ///
    /// A phrase is one hit, each side of a proximity is one. With --json: `hits` are the indices of the messages with hits,
    /// `hit_count` the number of hits, `highlights` the marked words. `start` and `end` of a highlight count UTF-8 bytes,
    /// `start_char` and `end_char` Unicode code points, all from 0, the end exclusive, in the plain text of the message
    /// (an HTML line without its tags).
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true, conflicts_with_all = ["raw", "revisions", "sources"])]
    pub(crate) query: Option<String>,
    /// Only the lines around the Nth message with hits of the query (1 is the first), or around a message by its index, such as m17
    ///
    /// With --json, `messages` and `highlights` hold only these lines; their indices and all other fields are those of the
    /// whole conversation.
    #[arg(long, value_name = "N|mINDEX", conflicts_with_all = ["raw", "revisions", "sources"])]
    pub(crate) around: Option<Around>,
    /// Messages shown before and after it
    #[arg(long, value_name = "N", default_value_t = 5, requires = "around")]
    pub(crate) context: usize,
    /// Do not start a pager ($CHATVAULT_PAGER, $PAGER, else `less -FRX`) for what is longer than the terminal
    #[arg(long)]
    pub(crate) no_pager: bool,
    /// Time zone of the output
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) tz: String,
}

#[derive(Args, Debug)]
pub(crate) struct Stats {
    /// Only the conversations that match
    #[arg(long, value_name = "QUERY", default_value = "*")]
    pub(crate) query: String,
    /// How the query is typed: chatvault, or dtsearch (words side by side are a phrase, `~` is stemming)
    #[arg(long, value_name = "SYNTAX", default_value = "chatvault")]
    pub(crate) syntax: SyntaxName,
    /// Figures of a stream that holds no conversations: operational-realtime, messaging-operations, agent-metrics, and
    /// data-access/agent-activity, which gives each agent's time in each state
    #[arg(long, value_name = "STREAM", conflicts_with = "query")]
    pub(crate) stream: Option<String>,
    #[command(flatten)]
    pub(crate) figures: Figures,
    /// Unit of the chart over time; with --stream 5m, hour (what auto means there) or day
    #[arg(long, value_name = "UNIT", default_value = "auto")]
    pub(crate) by: Unit,
    /// Values printed for each chart, or `all`; --json always has all
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) top: Top,
    /// Count messages by role whatever the number of conversations; up to 100,000 they always are
    #[arg(long, conflicts_with = "stream")]
    pub(crate) messages: bool,
    /// Time zone of hours, days, weeks and months
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) tz: String,
}

/// What of an operational stream is wanted.
#[derive(Args, Debug)]
pub(crate) struct Figures {
    /// Figures from this time on, such as 2026-11-20, 2026-11-20T10:05 or -6h
    #[arg(long, value_name = "TIME", requires = "stream", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Figures up to this time; a day or an hour is meant whole
    #[arg(long, value_name = "TIME", requires = "stream", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// Of this method only, such as queuehealth
    #[arg(long, value_name = "METHOD", requires = "stream")]
    pub(crate) call: Option<String>,
    /// Of this skill instead of the totals
    #[arg(long, value_name = "ID", requires = "stream")]
    pub(crate) skill: Option<String>,
    /// Of this agent instead of the totals
    #[arg(long, value_name = "ID", requires = "stream")]
    pub(crate) agent: Option<String>,
    /// Only these metrics, a row for each step
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "stream")]
    pub(crate) metric: Vec<String>,
    /// The figures of one moment, each with the query that finds its conversations
    #[arg(long, value_name = "TIME", requires = "stream", conflicts_with_all = ["by", "from", "to", "metric"], allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
    /// With --at: print the conversations of this metric
    #[arg(long, value_name = "METRIC", requires = "at")]
    pub(crate) conversations: Option<String>,
}

impl Figures {
    /// Whether any of them was given.
    pub(crate) fn are_asked_for(&self) -> bool {
        let Figures { from, to, call, skill, agent, metric, at, conversations } = self;
        let texts = [from, to, call, skill, agent, at, conversations];
        !metric.is_empty() || texts.iter().any(|text| text.is_some())
    }
}

/// What the formats hold, for `export --help`.
const EXPORT: &str = "\
Formats:
  bagit   a bag (BagIt 1.0, RFC 8493): the archived files as they were received, and the ledger's
          rows and events of them. Files go whole: one that holds a hit holds its neighbours too,
          and data/ledger/hits.ndjson says which conversations match.
  csv, parquet   with --stream: the history of an operational stream in long form, a row per figure;
          times are RFC 3339 in csv. A text in csv that a spreadsheet would take for a formula (it
          begins with = + - @ and is no number) gets an apostrophe in front.

The query * means every archived file. `bagit.py --validate BAG` or `chatvault import BAG` check a bag;
a bag that was imported keeps the provenance of its files.

Examples:
  chatvault export 'refund start:2026-06' --format bagit --out matter-17
  chatvault export '*' --format bagit --out whole-archive --organization 'Example Ltd'
  chatvault export --stream operational-realtime --format parquet --out realtime.parquet";

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The query, as for search; `*` is every archived file
    #[arg(required_unless_present = "stream", value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Instead of a query: operational-realtime, messaging-operations or agent-metrics
    #[arg(long, value_name = "STREAM", conflicts_with = "query")]
    pub(crate) stream: Option<String>,
    /// bagit; with --stream csv or parquet
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: String,
    /// Folder to make (with --stream: file); it must not exist, or be empty
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// With --stream: figures from this time on
    #[arg(long, value_name = "TIME", requires = "stream", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// With --stream: figures up to this time; a day or an hour is meant whole
    #[arg(long, value_name = "TIME", requires = "stream", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// How the query is typed: chatvault, or dtsearch (words side by side are a phrase, `~` is stemming)
    #[arg(long, value_name = "SYNTAX", default_value = "chatvault")]
    pub(crate) syntax: SyntaxName,
    /// Who hands it over: Source-Organization of the bag
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// Time zone of dates in the query, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) tz: String,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Re-read part n of m of the files, such as 1/7
    #[arg(long, value_name = "n/m")]
    pub(crate) read_data_subset: Option<String>,
}

/// What is done with what, for `repair --help`.
const REPAIR: &str = "\
Damaged or missing file   put back from a copy in the vault, else fetched again from LivePerson,
                          which has it for 30 days; the damaged bytes move to quarantine/
File without a row        becomes one if name, container and content agree; else quarantine/
vault.db lost or broken   rebuilt from files/ and from what can still be read of it
Index                     brought up or made anew
Changed rows, broken chain  never touched: they need a person and a backup

Without --execute nothing is changed. Exits with 9 while anything is left to mend.";

#[derive(Args, Debug)]
pub(crate) struct Repair {
    /// Do it; without this it is only said what would be done
    #[arg(long)]
    pub(crate) execute: bool,
    /// Say what would be done (what repair does without --execute)
    #[arg(long, conflicts_with = "execute")]
    pub(crate) dry_run: bool,
    /// Do not ask LivePerson; mend only what needs no network
    #[arg(long)]
    pub(crate) offline: bool,
    /// LivePerson account number, where vault.toml is lost
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Port of the API on 127.0.0.1; 0 for any free one
    #[arg(long, value_name = "PORT", default_value_t = 9090)]
    pub(crate) port: u16,
    /// Conversations of the account
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) conversations: u64,
    /// Messaging conversations, spread over the 30 days before the end and two after it
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub(crate) messaging: u64,
    /// Seed: equal seeds (and ends) give equal bytes
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Hours that the account's files cover, 1 to 720
    #[arg(long, value_name = "H", default_value_t = 72)]
    pub(crate) hours: u32,
    /// End of the newest hour, epoch milliseconds [default: the last full hour]
    #[arg(long, value_name = "MS")]
    pub(crate) end: Option<i64>,
    /// Account number
    #[arg(long, value_name = "ID", default_value = "40112233")]
    pub(crate) account: String,
    /// Faults: clean, flaky, hostile or late
    #[arg(long, value_name = "NAME", default_value = "clean")]
    pub(crate) script: String,
    /// Write the account's files into this folder instead of serving them
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
}
