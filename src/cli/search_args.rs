//! Options of `search`, and its help.

use super::choices::Top;
use super::sample::SampleOptions;
use super::terms::ReportOptions;
use clap::{Args, ValueEnum};

/// The query language, for `search --help`.
pub(super) const FORMS: &str = "\
Queries:
  refund  \"cancel my account\"          word; phrase inside one message
  consumer:refund  agent:\"best I\"     who said it: consumer agent bot system note
  a AND b   a OR b   NOT a   -a   ( )   boolean; words side by side are ANDed
  refund*  ref?nd  refnd~1  /re.und/    wildcard, fuzzy, regular expression: one word each
  stem:refund  stem.de:Erstattung       every ending of a word; English, or the language named
  number:12..24                         a number between, in the text
  4111111111111111                      digits, six or more: however they were spaced
  cancel w/5 account   cancel pre/3 account   refund turns/2 manager
                                        at most n words apart; in that order; n messages apart
  refund NOT w/5 policy   (a w/3 b) w/10 c   (a AND b) w/5 c
                                        away from it; counted from the pair; c near both
  raw:\"href=https://x.example\"         lines as received, tags included (reads every transcript)
  start:2026-07-01..2026-07-31  start:>2026-06  duration:>10m  queue:>60s  end:
  end_reason:205  end_reason:visitor-disconnected  start_reason:  mcs:<50  transfers:>=2
  end_reason:consumer  csat:>=4  nps:  transfer_reason:
  messages:>20  revisions:>1  has:summary  has:agent_id  has:sde.cartStatus.total
  id:  agent_id:  agent_name:  skill:3  skill_name:  campaign:  consumer_id:  visitor_id:  visit_id:
  type:chat  device:mobile  origin:web  status:closed  interactive:false  source:data-access
  survey:  summary:  intent:            words of survey answers, of the summary, of intents
  sde:\"gold\"  sde.customerInfo.customerId:138766AC  sde.cartStatus.total:>100
                                        engagement attributes: anywhere, by path, by number
  has:transfer  has:sde  has:form  has:link  has:file  has:survey  has:encrypted  has:revision  has:masked
  type:survey  type:web-session         records that are no conversation; found only by their type
  saved:NAME                            a saved search (`chatvault saved`), alone or in a query
  *                                     everything

Term reports: a file (`-`: stdin) with one query a line (# comments; NAME, a tab, QUERY). Each is counted by
conversations, by those that no other finds, by messages, hits, agent and month; together by their
union and overlap. A QUERY beside it is the scope. Exits with 3 when a line cannot be read.

With --syntax dtsearch, as counsel's term lists are typed:
  cancel my account    a phrase         and  or  not  w/5  pre/5  not w/5  ( )
  apply~   ba%nana     stem, fuzzy      refund*  ref?nd  N===  12~~24  \"##199[0-9]\"
  agent contains refund                 agent:: refund, or our fields: start:2026-06
--explain shows either in our own syntax.

Examples:
  chatvault search 'consumer:\"cancel my order\" start:2026-06' --facets day,skill
  chatvault search 'refund -agent:sorry' --limit all --ndjson
  chatvault search --syntax dtsearch '(refund~ or chargeback) w/5 (deni* or refus*)' --explain
  chatvault search -- '-refund'
  chatvault search 'start:2026-06' --term-report terms.txt --format csv --out hits.csv
  chatvault search refund --sample 5% --seed matter-17";

/// What says nothing about a digest or a proof: both are of the whole result, in no order.
const NO_HITS: [&str; 4] = ["count", "limit", "sort", "reverse"];

#[derive(Args, Debug)]
pub(crate) struct Search {
    /// The query, best in quotes; one that starts with a hyphen goes behind `--`
    #[arg(required_unless_present = "term_report", value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// How the query is typed: chatvault, or dtsearch (words side by side are a phrase, `~` is stemming)
    #[arg(long, value_name = "SYNTAX", default_value = "chatvault")]
    pub(crate) syntax: SyntaxName,
    /// Show how the query is understood, in our own syntax, and do not search
    #[arg(long)]
    pub(crate) explain: bool,
    /// Hits to print, or `all`
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: String,
    /// Order of the hits [default: relevance where the query has words, else start]
    #[arg(long, value_name = "KEY")]
    pub(crate) sort: Option<SortKey>,
    /// Reverse the order
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// Go on behind the page that ended with this cursor (`next` in --json); for the same query and order
    #[arg(long, value_name = "CURSOR", conflicts_with_all = ["count", "digest", "prove"])]
    pub(crate) after: Option<String>,
    /// Print the number of conversations only
    #[arg(long)]
    pub(crate) count: bool,
    /// Print one number for the whole result: SHA-256 of the sorted keys, each with a line feed
    #[arg(long, conflicts_with_all = NO_HITS)]
    pub(crate) digest: bool,
    /// Scan the archived files with the same query and compare: exits with 9 where the index differs
    #[arg(long, conflicts_with_all = NO_HITS)]
    pub(crate) prove: bool,
    /// Count by these: end_reason,start_reason,closed_by,skill,agent,device,origin,type,status,source,transfers,
    /// mcs,csat,hour,day,week,month,hour_of_day,weekday
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) facets: Vec<String>,
    /// Values printed for each facet, or `all`; --json always has all
    #[arg(long, value_name = "N", default_value = "20", requires = "facets")]
    pub(crate) top: Top,
    /// Time zone of dates in the query and in the output, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) tz: String,
    #[command(flatten)]
    pub(crate) sample: SampleOptions,
    #[command(flatten)]
    pub(crate) report: ReportOptions,
}

impl Search {
    /// Every hit of a query in our own syntax, as `search QUERY --limit all` prints them.
    pub(crate) fn all(query: String, tz: String) -> Search {
        Search {
            query: vec![query],
            syntax: SyntaxName::Chatvault,
            explain: false,
            limit: "all".to_owned(),
            sort: None,
            reverse: false,
            after: None,
            count: false,
            digest: false,
            prove: false,
            facets: Vec::new(),
            top: Top(None),
            tz,
            sample: SampleOptions::default(),
            report: ReportOptions::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyntaxName {
    /// Our own
    Chatvault,
    /// dtSearch's, as in Relativity
    Dtsearch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    Relevance,
    Start,
    End,
    Closed,
    Mcs,
    Duration,
    Transfers,
    Queue,
    Csat,
    Nps,
    Messages,
    Revisions,
    #[value(name = "end_reason")]
    EndReason,
    #[value(name = "start_reason")]
    StartReason,
    Key,
}
