//! What the SDKs write is read, and what cannot be meant is told; over sockets, `tests/it/tagoio.rs`.

use super::query::{Direction, Listing};

#[test]
fn both_sdks_queries_are_read() {
    for (query, fields, filter, why) in [
        (
            "page=1&fields=name&fields=token&fields=permission&amount=20&orderBy=created_at%2Cdesc",
            vec!["name", "token", "permission"],
            vec![],
            "Python's, with lists as repeated keys",
        ),
        (
            "page=1&fields%5B0%5D=name&fields%5B1%5D=token&filter%5Bname%5D=a%20b&amount=20",
            vec!["name", "token"],
            vec![("name", "a b".to_owned())],
            "JavaScript's, with numbered brackets",
        ),
        (
            "fields[]=name",
            vec!["name"],
            vec![],
            "brackets with nothing in them",
        ),
        ("", vec!["name", "token", "permission"], vec![], "nothing"),
        (
            "&&page=1",
            vec!["name", "token", "permission"],
            vec![],
            "empty pairs",
        ),
    ] {
        let listing = Listing::read(query).unwrap_or_else(|faults| panic!("{why}: {faults:?}"));
        assert_eq!((&listing.fields, &listing.filter), (&fields, &filter), "{why}");
        assert_eq!((listing.skip, listing.amount), (0, 20), "{why}");
        assert_eq!(
            (listing.order, listing.direction),
            ("created_at", Direction::Falling),
            "{why}"
        );
    }
    let later = Listing::read("page=3&amount=7&orderBy=name,asc").expect("a listing");
    assert_eq!((later.skip, later.amount, later.order), (14, 7, "name"));
    let far = Listing::read(&format!("page={}&amount=1000", usize::MAX)).expect("a listing");
    assert_eq!(far.skip, usize::MAX, "a page beyond every row is empty");
}

#[test]
fn what_is_wrong_with_a_query_is_told_by_parameter_all_at_once() {
    for (query, field, why) in [
        ("page=0", "page", "pages begin at 1"),
        ("page=-1", "page", "a negative one"),
        ("amount=0", "amount", "no rows"),
        ("amount=1001", "amount", "more than the bound"),
        ("amount=99999999999999999999", "amount", "no number of ours"),
        ("orderBy=secret,asc", "orderBy", "an unknown member"),
        ("orderBy=name,up", "orderBy", "an unknown direction"),
        ("fields=slow_digest", "fields", "a member that is not told"),
        ("filter[token]=x", "filter", "a filter by the secret"),
        ("filter=x", "query", "a filter by nothing"),
        ("limit=5", "query", "an unknown parameter"),
        ("page=%zz", "query", "half an encoding"),
        ("page=%ff", "query", "no UTF-8"),
    ] {
        let faults = Listing::read(query).expect_err(why);
        assert!(faults.0.contains_key(field), "{why}: {faults:?}");
    }
    let faults = Listing::read("page=0&amount=0&orderBy=x").expect_err("three faults");
    assert_eq!(faults.0.len(), 3);
    assert!(
        Listing::read(&"page=1&".repeat(65)).is_err(),
        "more than the bound"
    );
}
