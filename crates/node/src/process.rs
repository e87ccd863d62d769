//! What the system says of this process.

/// Processor time so far, in seconds; none where the system does not say.
pub(crate) fn cpu_seconds() -> Option<f64> {
    // Fields 14 and 15, counted from the command's name in parentheses: user and system time in hundredths.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after = stat.rsplit_once(')')?.1;
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 / 100.0)
}

/// The largest resident set so far, MiB.
pub(crate) fn peak_rss_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}
