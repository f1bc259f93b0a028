//! Checks before authentication: the route's access, address and transport rules.

use super::policy::{Access, HttpsRule, RoutePolicy};
use super::{Denial, Encryption};
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;

/// What comes after admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// A credential must be verified.
    ToAuthenticate,
    /// The route is public: credentials are not read.
    Anonymously,
}

/// Applies a route's rules that need no credential. Address rules come first: an address that may not
/// come in learns nothing else.
pub fn admit(route: &RoutePolicy, client: ClientIp, encryption: Encryption) -> Result<Admitted, Denial> {
    let ip = client.ip();
    if route.deny_from.contains(ip) || (!route.allow_from.is_empty() && !route.allow_from.contains(ip)) {
        return Err(Denial(Reason::AddressDenied));
    }
    if route.access == Access::Deny {
        return Err(Denial(Reason::RouteDenied));
    }
    let plain_allowed = match route.https {
        HttpsRule::Optional => true,
        HttpsRule::Required => false,
        // A proxy on this machine is not the client, whatever the socket says.
        HttpsRule::RequiredExceptLoopback => ip.is_loopback() && encryption != Encryption::Unknown,
    };
    if encryption != Encryption::Tls && !plain_allowed {
        return Err(Denial(Reason::HttpsRequired));
    }
    Ok(match route.access {
        Access::Public => Admitted::Anonymously,
        Access::Authenticated | Access::Deny => Admitted::ToAuthenticate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::policy::testing::route;
    use crate::domain::net::NetworkSet;

    fn nets(list: &[&str]) -> NetworkSet {
        NetworkSet::parse(list.iter().copied()).expect("networks")
    }

    #[test]
    fn addresses_are_allowed_and_denied_with_deny_winning() {
        for (allow, deny, client, refused) in [
            (&[][..], &[][..], "192.0.2.1", false),
            (&["10.0.0.0/8"], &[], "10.1.1.1", false),
            (&["10.0.0.0/8"], &[], "::ffff:10.1.1.1", false),
            (&["10.0.0.0/8"], &[], "192.0.2.1", true),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.1.1", true),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "::ffff:10.1.1.1", true),
            (&[], &["2001:db8::/32"], "2001:db8::7", true),
            (&[], &["2001:db8::/32"], "2001:db9::7", false),
            (&["::1/128"], &[], "127.0.0.1", true),
        ] {
            let mut r = route("/");
            (r.allow_from, r.deny_from) = (nets(allow), nets(deny));
            let client = ClientIp::new(client.parse().expect("an address"));
            let got = admit(&r, client, Encryption::None);
            assert_eq!(
                got == Err(Denial(Reason::AddressDenied)),
                refused,
                "{allow:?} {deny:?} {client}"
            );
        }
    }

    #[test]
    fn https_only_refuses_plain_and_exempts_loopback_only_where_told() {
        for (rule, client, encryption, refused) in [
            (HttpsRule::Optional, "192.0.2.1", Encryption::None, false),
            (HttpsRule::Required, "192.0.2.1", Encryption::None, true),
            (HttpsRule::Required, "127.0.0.1", Encryption::None, true),
            (HttpsRule::Required, "192.0.2.1", Encryption::Tls, false),
            (
                HttpsRule::RequiredExceptLoopback,
                "127.0.0.1",
                Encryption::None,
                false,
            ),
            (HttpsRule::RequiredExceptLoopback, "::1", Encryption::None, false),
            (
                HttpsRule::RequiredExceptLoopback,
                "::1",
                Encryption::Unknown,
                true,
            ),
            (HttpsRule::Required, "192.0.2.1", Encryption::Unknown, true),
            (HttpsRule::Optional, "192.0.2.1", Encryption::Unknown, false),
            (
                HttpsRule::RequiredExceptLoopback,
                "192.0.2.1",
                Encryption::None,
                true,
            ),
        ] {
            let mut r = route("/");
            r.https = rule;
            let got = admit(&r, ClientIp::new(client.parse().expect("an address")), encryption);
            assert_eq!(
                got == Err(Denial(Reason::HttpsRequired)),
                refused,
                "{rule:?} {client} {encryption:?}"
            );
        }
    }

    #[test]
    fn deny_routes_refuse_and_public_ones_do_not_authenticate() {
        let client = ClientIp::new("192.0.2.1".parse().expect("an address"));
        let mut r = route("/");
        assert_eq!(admit(&r, client, Encryption::None), Ok(Admitted::ToAuthenticate));
        r.access = Access::Public;
        assert_eq!(admit(&r, client, Encryption::None), Ok(Admitted::Anonymously));
        r.access = Access::Deny;
        assert_eq!(
            admit(&r, client, Encryption::None),
            Err(Denial(Reason::RouteDenied))
        );
    }
}
