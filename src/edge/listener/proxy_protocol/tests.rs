//! Headers that are none first, then those that are, whole and byte by byte.

use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(addresses.len()).expect("short").to_be_bytes());
    header.extend(addresses);
    header
}

const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0x40, 0x01, 0xbb];

fn v6_addresses() -> Vec<u8> {
    let mut all = "2001:db8::7"
        .parse::<Ipv6Addr>()
        .expect("an address")
        .octets()
        .to_vec();
    all.extend([0; 16]);
    all.extend([0x9c, 0x40, 0x01, 0xbb]);
    all
}

#[test]
fn what_breaks_the_rules_of_version_1_is_no_header() {
    for (line, why) in [
        ("GET / HTTP/1.1\r\n", "a request"),
        ("\x16\x03\x01\x02\x00", "a TLS handshake"),
        ("proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n", "small letters"),
        (" PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n", "a space ahead"),
        ("PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n", "two spaces"),
        (
            "PROXY TCP4 192.0.2.7  10.0.0.1 1 2\r\n",
            "two spaces between addresses",
        ),
        ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n", "a space at the end"),
        ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n", "one part too many"),
        ("PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n", "one part too few"),
        ("PROXY\tTCP4 192.0.2.7 10.0.0.1 1 2\r\n", "a tab"),
        ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n", "no carriage return"),
        (
            "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\rGET",
            "no line feed, and too long",
        ),
        (
            "PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n",
            "a zero ahead in an address",
        ),
        ("PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n", "three parts of an address"),
        ("PROXY TCP4 0xc0.0.2.7 10.0.0.1 1 2\r\n", "hexadecimal"),
        (
            "PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n",
            "version 6 where 4 was said",
        ),
        ("PROXY TCP6 192.0.2.7 ::1 1 2\r\n", "version 4 where 6 was said"),
        ("PROXY TCP6 [2001:db8::7] ::1 1 2\r\n", "brackets"),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "a zone"),
        (
            "PROXY TCP4 192.0.2.7 nowhere 1 2\r\n",
            "a destination that is none",
        ),
        (
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n",
            "a port beyond the last",
        ),
        (
            "PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
            "a destination's port beyond the last",
        ),
        ("PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n", "a sign"),
        ("PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n", "a zero ahead in a port"),
        ("PROXY TCP4 192.0.2.7 10.0.0.1  2\r\n", "an empty port"),
        ("PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n", "datagrams"),
        ("PROXY UNKNOWNS\r\n", "no such family"),
        ("PROXY UNKNOWN \u{1}\r\n", "a control character"),
        ("PROXY \r\n", "nothing said"),
    ] {
        let mut bytes = line.as_bytes().to_vec();
        if !line.ends_with('\n') {
            bytes.resize(bytes.len().max(V1_MAX), b'x');
        }
        assert_eq!(read(&bytes), Read::Broken, "{line:?}: {why}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(V1_MAX));
    assert_eq!(read(endless.as_bytes()), Read::Broken, "beyond its bound");
}

#[test]
fn what_breaks_the_rules_of_version_2_is_no_header() {
    let mut too_long = v2(0x21, 0x11, &V4);
    too_long.splice(14..16, 2033_u16.to_be_bytes());
    let rows = [
        (v2(0x11, 0x11, &V4), "version 1 in its form"),
        (v2(0x31, 0x11, &V4), "version 3"),
        (v2(0x22, 0x11, &V4), "no such command"),
        (v2(0x21, 0x12, &V4), "datagrams"),
        (v2(0x21, 0x41, &V4), "no such family"),
        (v2(0x21, 0x10, &V4), "a family without a protocol"),
        (v2(0x21, 0x11, &V4[..11]), "addresses cut off"),
        (v2(0x21, 0x21, &V4), "addresses of version 4 for 6"),
        (v2(0x21, 0x31, &[0; 215]), "names of sockets cut off"),
        (too_long, "beyond its bound, told at once"),
    ];
    for (bytes, why) in rows {
        assert_eq!(read(&bytes), Read::Broken, "{why}");
    }
    let mut other = v2(0x21, 0x11, &V4);
    other[11] = b'\r';
    assert_eq!(read(&other), Read::Broken, "another signature");
    for command in [0x11, 0x22, 0x31, b'G'] {
        let begun = [&V2_SIGNATURE[..], &[command]].concat();
        assert_eq!(
            read(&begun),
            Read::Broken,
            "{command:#x}: told before the rest is awaited"
        );
    }
}

#[test]
fn good_headers_are_read_whole_and_in_pieces_and_nothing_after_them_is() {
    let client = |text: &str| Said::Client(text.parse().expect("an address"));
    let mut with_fields = V4.to_vec();
    with_fields.extend([0x04, 0x00, 0x03, 1, 2, 3]);
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let rows = [
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n".to_vec(),
            client("192.0.2.7:40000"),
        ),
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n".to_vec(),
            client("192.0.2.7:0"),
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 40000 443\r\n".to_vec(),
            client("[2001:db8::7]:40000"),
        ),
        (
            longest.into(),
            client("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Said::Nothing),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Said::Nothing),
        (v2(0x21, 0x11, &V4), client("192.0.2.7:40000")),
        (v2(0x21, 0x11, &with_fields), client("192.0.2.7:40000")),
        (v2(0x21, 0x21, &v6_addresses()), client("[2001:db8::7]:40000")),
        (v2(0x20, 0x11, &V4), Said::Nothing),
        (v2(0x20, 0x00, &[]), Said::Nothing),
        (v2(0x21, 0x00, &[1, 2, 3]), Said::Nothing),
        (v2(0x21, 0x31, &[0; 216]), Said::Nothing),
    ];
    for (bytes, said) in rows {
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Read::More, "{end} of {bytes:?}");
        }
        assert_eq!(read(&bytes), Read::Header(said, bytes.len()), "{bytes:?}");
        let followed = [&bytes[..], b"PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\nGET"].concat();
        assert_eq!(
            read(&followed),
            Read::Header(said, bytes.len()),
            "only the first counts"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = read(&bytes);
        let _ = read(&[V2_SIGNATURE, &bytes[..]].concat());
        let _ = read(&[b"PROXY ", &bytes[..]].concat());
    }

    #[test]
    fn beyond_the_bound_there_is_always_an_answer(bytes in prop::collection::vec(any::<u8>(), V2_MAX..V2_MAX + 9)) {
        for begin in [&b""[..], V2_SIGNATURE, b"PROXY "] {
            prop_assert_ne!(read(&[begin, &bytes[..]].concat()), Read::More);
        }
    }
}
