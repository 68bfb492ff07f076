//! The `vault.toml` that `init` writes: every setting that a person may want to change, with what it means.

/// The `vault.toml` of a new vault.
pub(crate) fn template(account_id: &str, region: &str) -> String {
    format!(
        r#"# Settings of this vault. Secrets never stand here: chatvault reads CHATVAULT_APP_KEY, CHATVAULT_APP_SECRET,
# CHATVAULT_ACCESS_TOKEN and CHATVAULT_ACCESS_TOKEN_SECRET from the environment, or from the files that
# CHATVAULT_APP_KEY_FILE … name. An account whose records come encrypted: CHATVAULT_PGP_KEY (armored private key, several
# may follow one another) and CHATVAULT_PGP_PASSPHRASE, or CHATVAULT_PGP_KEY_FILE and CHATVAULT_PGP_PASSPHRASE_FILE.
# The archive keeps what came; the index then holds the clear text. `chatvault index --rebuild` without them removes it.

[account]
id = "{account_id}"
region = "{region}"                     # Data Access host: va, lo or sy

[streams]                         # what sync pulls: "on", "off", or "auto" (on if the key may)
"data-access/engagement" = "on"
"data-access/agent-activity" = "auto"
"data-access/web-session" = "off"
"data-access/survey" = "auto"
"messaging-interactions" = "auto"  # conversations, open and closed, with their SDEs, a minute after they change
"engagement-history" = "auto"      # chats, with surveys and SDEs
"operational-realtime" = "auto"    # figures of queues, chats and agents; LivePerson forgets them after 24 hours
"messaging-operations" = "auto"    # the same of messaging, and waiting times
"agent-metrics" = "auto"           # which agents are there, in which state, with which load

[sync]
start = "30d"                     # how far back the first sync goes; LivePerson keeps 30 days
connections = 4                   # requests at the same time
requests_per_second = 5.0         # evenly spaced
seal_after = "8h"                 # an hour is final when a listing made this long after its end and one before agree
relist = "48h"                    # the last hours are listed again in every run, so that late files are taken

[limits]                          # against hostile files; what goes beyond is kept aside and reported
max_inflate_ratio = 1000          # bytes unpacked per byte received, above 64 MiB
max_inflated_bytes = "256GiB"     # bytes unpacked from one file
max_record_bytes = "32MiB"        # one conversation; each decoding thread may hold one in memory
memory = "1GiB"                   # of sync, watch, import and index; 128MiB at least

# [endpoints]                     # full base URLs instead of LivePerson's own hosts
# csds = "http://127.0.0.1:9090"
# data_access = "http://127.0.0.1:9090"
# data_access_files = "http://127.0.0.1:9091"   # a further host that listings may name for downloads
"#
    )
}
