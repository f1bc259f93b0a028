//! What a service manager says to its services by environment variables (sd_notify(3), sd_watchdog_enabled(3)).
//! Not part of the configuration: nobody writes them by hand.

use std::ffi::OsString;
use std::time::Duration;

use crate::runtime::service_manager::ServiceManagerSettings;

/// What this process was told.
pub fn service_manager_of_process() -> ServiceManagerSettings {
    let value = |name: &str| std::env::vars_os().find_map(|(n, value)| (n == name).then_some(value));
    read(value, std::process::id())
}

/// A watchdog that is meant for another process (a parent's, say) is none.
fn read(value: impl Fn(&str) -> Option<OsString>, pid: u32) -> ServiceManagerSettings {
    let number = |name: &str| value(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let ours = value("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(pid));
    ServiceManagerSettings {
        socket: value("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
        watchdog: number("WATCHDOG_USEC")
            .filter(|usec| ours && *usec > 0)
            .map(Duration::from_micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_obeyed_by_the_process_that_it_is_meant_for() {
        let told = |variables: &[(&str, &str)]| {
            let value = |name: &str| {
                let found = variables.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| OsString::from(value))
            };
            read(value, 7)
        };
        let second = Some(Duration::from_secs(1));
        for (variables, watchdog, why) in [
            (&[][..], None, "nobody asks"),
            (&[("WATCHDOG_USEC", "1000000")], second, "whoever runs"),
            (
                &[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "7")],
                second,
                "us",
            ),
            (
                &[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "8")],
                None,
                "another process",
            ),
            (
                &[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "x")],
                None,
                "nobody that exists",
            ),
            (&[("WATCHDOG_USEC", "0")], None, "no time at all"),
            (&[("WATCHDOG_USEC", "soon")], None, "no number"),
        ] {
            assert_eq!(told(variables).watchdog, watchdog, "{why}");
        }
        assert_eq!(told(&[("NOTIFY_SOCKET", "")]).socket, None);
        assert_eq!(told(&[("NOTIFY_SOCKET", "/run/n")]).socket, Some("/run/n".into()));
    }
}
