//! The rules of the house that a compiler cannot hold and a reviewer should not have to.
//!
//! Walks `src` once; every broken rule is printed with its file, line and remedy. The table of rooms is
//! the one that `src/lib.rs` and `docs/architecture.md` explain.

mod source;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use doorward::domain::reason::Reason;
use source::Source;

/// Which rooms a room may use, beside itself and the rooms open to all: `domain`, `telemetry`,
/// `runtime` (those three use each other in this order only).
const USES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("telemetry", &["domain"]),
    ("runtime", &["domain", "telemetry"]),
    ("crypto", OPEN),
    ("store", OPEN),
    ("cluster", &["domain", "telemetry", "runtime", "store"]),
    ("audit", &["domain", "telemetry", "runtime", "crypto", "store"]),
    (
        "authn",
        &[
            "domain",
            "telemetry",
            "runtime",
            "crypto",
            "store",
            "cluster",
            "audit",
        ],
    ),
    ("authz", &["domain", "telemetry", "runtime", "authn", "cluster"]),
    (
        "gate",
        &[
            "domain",
            "telemetry",
            "runtime",
            "authn",
            "authz",
            "audit",
            "crypto",
        ],
    ),
    (
        "accounts",
        &[
            "domain",
            "telemetry",
            "runtime",
            "crypto",
            "store",
            "cluster",
            "authn",
            "audit",
        ],
    ),
    ("edge", &["domain", "telemetry", "runtime", "gate", "accounts"]),
    (
        "config",
        &[
            "domain",
            "telemetry",
            "runtime",
            "crypto",
            "store",
            "cluster",
            "audit",
            "authn",
            "authz",
            "gate",
            "accounts",
            "edge",
        ],
    ),
    (
        "app",
        &[
            "domain",
            "telemetry",
            "runtime",
            "crypto",
            "store",
            "cluster",
            "audit",
            "authn",
            "authz",
            "gate",
            "accounts",
            "edge",
            "config",
        ],
    ),
    (
        "cli",
        // It speaks to the management door, in the door's own words.
        &[
            "domain",
            "telemetry",
            "runtime",
            "accounts",
            "config",
            "app",
            "edge",
        ],
    ),
];

const OPEN: &[&str] = &["domain", "telemetry", "runtime"];

/// Front doors know no sibling; these rooms of `edge` are open to all of them.
const SHARED_IN_EDGE: &[&str] = &["answers", "endpoints"];

/// Who may know a sibling nevertheless: the listener is no door, it hands its connections to one.
const FEEDS: &[(&str, &str)] = &[("listener", "proxy")];

/// What may stand only in some places: texts, places, why.
const ONLY_IN: &[(&[&str], &[&str], &str)] = &[
    (
        &[
            "SystemTime::now",
            "Instant::now",
            "clock_gettime",
            "Timestamp::now",
            "Zoned::now",
            "Utc::now",
        ],
        &["domain/clock.rs"],
        "clocks are read in one place; take `now` as an argument",
    ),
    (
        &[
            "tokio::spawn",
            "task::spawn",
            "thread::spawn",
            "thread::Builder",
            "spawn_blocking",
            "spawn_local",
            "spawn_on(",
        ],
        &["runtime/"],
        "tasks and threads are named and joined: use runtime::tasks",
    ),
    (
        &[
            "env::var",
            "env::vars",
            "env::args",
            "env::set_var",
            "env::remove_var",
            "env::current_dir",
        ],
        &["config/", "cli/"],
        "the environment is read where settings are made",
    ),
    (&["sqlx::"], &["store/"], "SQL is the store's business"),
    (&["moka::"], &["authn/"], "one cache, beside the verifiers"),
    (
        &["bcrypt::", "aes_gcm::"],
        &["crypto/"],
        "ciphers and slow digests have one home",
    ),
    (
        &["jsonwebtoken::"],
        &["authn/kinds/jwt/", "gate/assertion.rs"],
        "JWTs are read by their kind and signed by it or the assertion signer",
    ),
    (
        &["prometheus::"],
        &["telemetry/"],
        "every metric is declared once: take a handle",
    ),
    (
        &["serde_saphyr::"],
        &["config/"],
        "YAML is the configuration's business",
    ),
    (
        &["clap::", "comfy_table::"],
        &["cli/"],
        "the command line is the command line's business",
    ),
    (
        &["axum::"],
        &["edge/", "app/"],
        "HTTP frameworks stay at the doors",
    ),
    (
        &["pingora_core::"],
        &["edge/", "runtime/", "app/"],
        "the engine stays below the gate",
    ),
    (&["mimalloc::"], &["main.rs"], "the binary chooses its allocator"),
    (
        &["thread_local!"],
        &["runtime/workers.rs"],
        "state is passed in structs",
    ),
];

/// What would make a static a hidden channel between rooms.
const SHARED_STATE: &[&str] = &[
    "mut ", "Atomic", "Mutex", "RwLock", "Once", "Lazy", "ArcSwap", "Cell",
];

/// Where a static may change: the upstream pools of a thread.
const STATE_IN: &[&str] = &["runtime/workers.rs"];

const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every source file that is not test code, read once.
fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read_sources);
    &SOURCES
}

fn read_sources() -> Vec<Source> {
    let (mut pending, mut files) = (vec![root().join("src")], Vec::new());
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let base = root().join("src");
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("UTF-8 source");
        let below = path.strip_prefix(&base).expect("below src");
        Source::read(&below.to_string_lossy(), &text)
    };
    let all: Vec<Source> = files.iter().map(read).collect();
    let tests: HashSet<String> = all.iter().flat_map(test_files).collect();
    all.into_iter()
        .filter(|s| {
            !tests
                .iter()
                .any(|t| s.path == format!("{t}.rs") || s.path.starts_with(&format!("{t}/")))
        })
        .collect()
}

/// Modules under `#[cfg(test)]`, as paths without `.rs`.
fn test_files(source: &Source) -> Vec<String> {
    let here = source.path.strip_suffix(".rs").unwrap_or(&source.path);
    let folder = match here.strip_suffix("/mod") {
        Some(folder) => format!("{folder}/"),
        None if here == "lib" || here == "main" => String::new(),
        None => format!("{here}/"),
    };
    source
        .test_modules
        .iter()
        .map(|name| format!("{folder}{name}"))
        .collect()
}

fn broken_by(sources: &[Source], rule: impl Fn(&Source) -> Vec<(usize, String)>) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        for (line, what) in rule(source) {
            broken.push(format!("src/{}:{line}: {what}", source.path));
        }
    }
    broken
}

fn expect_none(broken: &[String]) {
    assert!(
        broken.is_empty(),
        "{} broken:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

fn wrong_imports(source: &Source) -> Vec<(usize, String)> {
    let room = source.room();
    if room == "lib" || room == "main" {
        return Vec::new();
    }
    let Some((_, allowed)) = USES.iter().find(|(name, _)| *name == room) else {
        return vec![(
            1,
            format!("the room `{room}` does not stand in the table of rooms"),
        )];
    };
    let sub_room = source.path.split('/').nth(1).unwrap_or_default();
    let mut wrong = Vec::new();
    for (line, path) in source.paths() {
        let used = path.first().map_or("", String::as_str);
        let is_room = USES.iter().any(|(name, _)| *name == used);
        if is_room && used != room && !allowed.contains(&used) {
            wrong.push((
                line,
                format!("`{room}` may not use `{used}` (only {})", allowed.join(", ")),
            ));
        }
        if room == "edge" && used == "edge" && source.path.matches('/').count() > 1 {
            let sibling = path.get(1).map_or("", String::as_str);
            if sibling != sub_room
                && !SHARED_IN_EDGE.contains(&sibling)
                && !FEEDS.contains(&(sub_room, sibling))
            {
                wrong.push((
                    line,
                    format!("the door `{sub_room}` may not know its sibling `{sibling}`"),
                ));
            }
        }
    }
    wrong
}

fn misplaced(source: &Source) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (texts, places, why) in ONLY_IN {
        if places.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        for text in *texts {
            for line in source.lines_with(text) {
                wrong.push((
                    line,
                    format!("`{}` only in {}: {why}", text.trim(), places.join(", ")),
                ));
            }
        }
    }
    if !STATE_IN.contains(&source.path.as_str()) {
        for line in source.lines_with("static ") {
            let text = source.code.get(line - 1).map_or("", String::as_str);
            if SHARED_STATE.iter().any(|state| text.contains(state)) {
                wrong.push((line, "state is passed in structs, not kept in statics".to_owned()));
            }
        }
    }
    wrong
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    expect_none(&broken_by(sources(), wrong_imports));
}

#[test]
fn what_belongs_in_one_place_stays_there() {
    expect_none(&broken_by(sources(), misplaced));
}

#[test]
fn every_file_opens_with_a_header() {
    expect_none(&broken_by(sources(), |source| {
        let header = source.first_line.strip_prefix("//! ").unwrap_or_default();
        if header.len() < 15 {
            vec![(1, "a header says first what lives here: `//! …`".to_owned())]
        } else {
            Vec::new()
        }
    }));
}

#[test]
fn no_file_is_too_long_to_read_at_a_sitting() {
    expect_none(&broken_by(sources(), |source| {
        if source.length > MAX_LINES {
            vec![(
                MAX_LINES,
                format!("{} lines of code, at most {MAX_LINES}: split it", source.length),
            )]
        } else {
            Vec::new()
        }
    }));
}

#[test]
fn the_table_of_rooms_is_the_map_in_the_library() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let declared = library
        .lines()
        .filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';'));
    let declared: HashSet<&str> = declared.collect();
    assert_eq!(declared, USES.iter().map(|(room, _)| *room).collect());
    for (room, uses) in USES {
        let at = |name: &str| USES.iter().position(|(r, _)| *r == name);
        for used in *uses {
            assert!(
                at(used) < at(room),
                "`{room}` uses `{used}`, which stands above it"
            );
        }
    }
}

#[test]
fn every_reason_is_documented_with_what_to_check() {
    let page = std::fs::read_to_string(root().join("docs/reasons.md")).expect("docs/reasons.md");
    let headings = page.lines().filter_map(|l| l.strip_prefix("### "));
    let documented: HashSet<String> = headings.map(str::to_owned).collect();
    let heading = |r: &Reason| format!("`{}` ({})", r.code(), r.status().as_u16());
    let known: HashSet<String> = Reason::ALL.iter().map(heading).collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/reasons.md lacks headings for {missing:?} and has some for no reason: {stale:?}"
    );
}

#[test]
fn the_rules_catch_what_they_are_for() {
    for (path, text, complaint) in [
        (
            "store/x.rs",
            "use crate::authn::cache;",
            "`store` may not use `authn`",
        ),
        (
            "authn/x.rs",
            "use crate::{domain, edge};",
            "`authn` may not use `edge`",
        ),
        (
            "gate/x.rs",
            "fn f(s: &dyn super::super::store::Keys) {}",
            "`gate` may not use `store`",
        ),
        (
            "edge/proxy/x.rs",
            "use crate::edge::management::Y;",
            "may not know its sibling `management`",
        ),
        (
            "edge/proxy/x.rs",
            "use super::super::status::Y;",
            "may not know its sibling `status`",
        ),
        ("shed/x.rs", "", "does not stand in the table"),
    ] {
        let wrong = wrong_imports(&Source::read(path, text));
        assert!(
            wrong.iter().any(|(_, w)| w.contains(complaint)),
            "{path}: {text}: {wrong:?}"
        );
    }
    for (path, text) in [
        ("gate/x.rs", "let t = std::time::Instant::now();"),
        ("gate/x.rs", "tokio::spawn(work);"),
        ("store/x.rs", "let home = std::env::var(name);"),
        ("accounts/x.rs", "sqlx::query(text);"),
        ("gate/x.rs", "static COUNT: AtomicU64 = AtomicU64::new(0);"),
        ("authn/kinds/basic/x.rs", "bcrypt::verify(a, b);"),
    ] {
        assert_eq!(misplaced(&Source::read(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (
            "edge/proxy/x.rs",
            "use crate::edge::answers::body; use super::pool;",
        ),
        ("edge/status/mod.rs", "use crate::runtime::tasks::Tasks;"),
        ("gate/x.rs", "fn f(text: &'static str) -> &'static str { text }"),
        ("gate/x.rs", "static NAMES: [HeaderName; 2] = [A, B];"),
        (
            "gate/x.rs",
            "#[cfg(test)]\nmod t { fn f() { tokio::spawn(x); crate::cli::run(); } }",
        ),
    ] {
        let source = Source::read(path, text);
        let wrong: Vec<_> = wrong_imports(&source)
            .into_iter()
            .chain(misplaced(&source))
            .collect();
        assert!(wrong.is_empty(), "{path}: {text}: {wrong:?}");
    }
}
