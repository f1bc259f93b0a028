//! The query of a listing, as the SDKs write it: `page`, `amount`, `orderBy=field,direction`, lists as
//! `fields=a&fields=b`, `fields[]=a` or `fields[0]=a`, filters as `filter[name]=x`. Pure.

use super::Faults;
use crate::edge::endpoints::read::form_decoded;

/// Rows on a page when nothing is said.
const DEFAULT_AMOUNT: usize = 20;
/// Most rows on a page.
const MAX_AMOUNT: usize = 1000;
/// Most parameters.
const MAX_PARAMETERS: usize = 64;

/// Members of a token in a listing.
pub(super) const FIELDS: [&str; 12] = [
    "token",
    "device_id",
    "ref_id",
    "type",
    "name",
    "permission",
    "serie_number",
    "verification_code",
    "last_authorization",
    "expire_time",
    "created_at",
    "created_by",
];
/// Members that a listing can be ordered by.
const ORDERS: [&str; 5] = [
    "name",
    "permission",
    "serie_number",
    "last_authorization",
    "created_at",
];
/// Members that a listing can be filtered by.
const FILTERS: [&str; 3] = ["name", "permission", "serie_number"];

/// Which way a listing is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Rising,
    Falling,
}

/// A listing that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// Rows before the page.
    pub(super) skip: usize,
    /// Rows on it.
    pub(super) amount: usize,
    /// The members that are told.
    pub(super) fields: Vec<&'static str>,
    /// A member and the value it must have.
    pub(super) filter: Vec<(&'static str, String)>,
    /// The member it is ordered by.
    pub(super) order: &'static str,
    pub(super) direction: Direction,
}

fn known(names: &[&'static str], wanted: &str) -> Option<&'static str> {
    names.iter().copied().find(|name| *name == wanted)
}

/// A name as `fields`, and what stands in its brackets.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('[') {
        Some((head, rest)) => (head, rest.strip_suffix(']')),
        None => (name, None),
    }
}

impl Listing {
    /// Reads a query; everything that is wrong is told at once.
    pub(super) fn read(query: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut listing = Self {
            skip: 0,
            amount: DEFAULT_AMOUNT,
            fields: Vec::new(),
            filter: Vec::new(),
            order: "created_at",
            direction: Direction::Falling,
        };
        let mut page = 1_usize;
        for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if count >= MAX_PARAMETERS {
                faults.add("query", format!("at most {MAX_PARAMETERS} parameters"));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (form_decoded(name), form_decoded(value)) else {
                faults.add("query", "expected percent-encoded UTF-8");
                continue;
            };
            match split(&name) {
                ("page", None) => match value.parse() {
                    Ok(number) if number > 0 => page = number,
                    _ => faults.add("page", "expected a number from 1"),
                },
                ("amount", None) => match value.parse() {
                    Ok(number) if (1..=MAX_AMOUNT).contains(&number) => listing.amount = number,
                    _ => faults.add("amount", format!("expected a number from 1 to {MAX_AMOUNT}")),
                },
                ("orderBy", None) => listing.order_by(&value, &mut faults),
                ("fields", _) => match known(&FIELDS, &value) {
                    Some(field) => listing.fields.push(field),
                    None => faults.add("fields", format!("expected some of {}", FIELDS.join(", "))),
                },
                ("filter", Some(by)) => match known(&FILTERS, by) {
                    Some(by) => listing.filter.push((by, value)),
                    None => faults.add("filter", format!("expected some of {}", FILTERS.join(", "))),
                },
                _ => faults.add("query", "expected page, amount, fields, filter and orderBy"),
            }
        }
        if listing.fields.is_empty() {
            listing.fields = vec!["name", "token", "permission"];
        }
        listing.skip = page.saturating_sub(1).saturating_mul(listing.amount);
        if faults.none() { Ok(listing) } else { Err(faults) }
    }

    fn order_by(&mut self, value: &str, faults: &mut Faults) {
        let (field, direction) = value.split_once(',').unwrap_or((value, "asc"));
        let direction = match direction {
            "asc" => Some(Direction::Rising),
            "desc" => Some(Direction::Falling),
            _ => None,
        };
        match (known(&ORDERS, field), direction) {
            (Some(field), Some(direction)) => (self.order, self.direction) = (field, direction),
            _ => faults.add(
                "orderBy",
                format!("expected one of {}, then `,asc` or `,desc`", ORDERS.join(", ")),
            ),
        }
    }
}
