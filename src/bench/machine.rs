//! What the machine is, and what this process has used of it, from `/proc`. Elsewhere than on Linux it is not known.
//!
//! CPU seconds are counted by the kernel in ticks of 10 ms; `USER_HZ` is 100 on every architecture that Rust's Linux
//! targets have. Peak memory is the kernel's own high-water mark of the process, pages of mapped index files included.

use serde::{Deserialize, Serialize};
use std::fs;
use std::time::{Duration, Instant};

/// Kernel ticks in a second of CPU time (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Fewer ticks than this say too little: half a tick at either end is more than a tenth of it.
const FEWEST_TICKS: u64 = 10;

/// What a benchmark ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor, where it is known.
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory, bytes, where it is known.
    pub memory_bytes: Option<u64>,
    /// Operating system, its version where it is known, and architecture.
    pub os: String,
    /// Processes that wanted to run, average of the last minute, when the benchmark began: others slow it down.
    pub load: Option<f64>,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Machine {
        let os = std::env::consts::OS;
        let version = of_proc("/proc/sys/kernel/osrelease").map(|text| format!(" {}", text.trim())).unwrap_or_default();
        Machine {
            cpu: of_proc("/proc/cpuinfo").and_then(|text| value_of(&text, "model name").map(str::to_owned)),
            cores: cores(),
            memory_bytes: of_proc("/proc/meminfo").and_then(|text| kibibytes(&text, "MemTotal")),
            os: format!("{os}{version} {}", std::env::consts::ARCH),
            load: of_proc("/proc/loadavg").and_then(|text| text.split_whitespace().next()?.parse().ok()),
        }
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn of_proc(path: &str) -> Option<String> {
    // Other systems have a /proc with other files in it.
    if cfg!(target_os = "linux") { fs::read_to_string(path).ok() } else { None }
}

/// The value of the first line `name : value`.
fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = value_of(text, name)?.strip_suffix("kB")?;
    value.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Highest resident memory of this process so far, bytes.
pub(super) fn peak_memory_bytes() -> Option<u64> {
    of_proc("/proc/self/status").and_then(|text| kibibytes(&text, "VmHWM"))
}

/// Ticks of CPU that all threads of this process have used so far, ended ones included.
fn cpu_ticks() -> Option<u64> {
    of_proc("/proc/self/stat").and_then(|text| ticks_in(&text))
}

/// `utime` and `stime`, fields 14 and 15 of proc(5). The program's name in field 2 may hold spaces and brackets.
fn ticks_in(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    user.checked_add(system)
}

/// Time that was spent in the measured parts of a stage; what lies between them is not counted.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch {
    wall: Duration,
    ticks: Option<u64>,
}

impl Stopwatch {
    pub(super) fn new() -> Stopwatch {
        Stopwatch { wall: Duration::ZERO, ticks: Some(0) }
    }

    /// Measures `work` and adds it.
    pub(super) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let running = Lap::start();
        let result = work();
        self.add(&running);
        result
    }

    /// Adds what has passed since the lap began.
    pub(super) fn add(&mut self, lap: &Lap) {
        self.wall += lap.started.elapsed();
        let spent = lap.ticks.zip(cpu_ticks()).map(|(before, after)| after.saturating_sub(before));
        self.ticks = self.ticks.zip(spent).map(|(sum, spent)| sum + spent);
    }

    pub(super) fn wall_s(&self) -> f64 {
        self.wall.as_secs_f64()
    }

    /// CPU seconds; `None` where they are not known, or too few to say.
    pub(super) fn cpu_s(&self) -> Option<f64> {
        self.ticks.filter(|ticks| *ticks >= FEWEST_TICKS).map(|ticks| ticks as f64 / TICKS_PER_SECOND)
    }
}

/// A moment to measure from.
#[derive(Clone, Debug)]
pub(super) struct Lap {
    started: Instant,
    ticks: Option<u64>,
}

impl Lap {
    pub(super) fn start() -> Lap {
        let ticks = cpu_ticks();
        Lap { started: Instant::now(), ticks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_read_by_its_manual() {
        let stat = "77 (a )b (c) d) R 1 77 77 0 -1 4194304 9 0 0 0 123 45 7 8 20 0 3 0 100 1 1";
        assert_eq!(ticks_in(stat), Some(168), "children (7, 8) do not count");
        assert_eq!(ticks_in("77 (x) R 1"), None);
        assert_eq!(kibibytes("VmPeak:\t  9 kB\nVmHWM:\t  12 kB\n", "VmHWM"), Some(12 << 10));
        assert_eq!(kibibytes("VmHWM:\t 12 pages\n", "VmHWM"), None);
        assert_eq!(value_of("processor : 0\nmodel name\t: A: B\n", "model name"), Some("A: B"));
    }

    #[test]
    fn too_little_cpu_is_not_a_figure() {
        let watch = |ticks| Stopwatch { wall: Duration::from_secs(1), ticks };
        assert_eq!(watch(Some(3)).cpu_s(), None);
        assert_eq!(watch(None).cpu_s(), None);
        assert_eq!(watch(Some(150)).cpu_s(), Some(1.5));
    }
}
