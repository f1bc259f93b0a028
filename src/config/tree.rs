//! YAML as a tree in which every node knows where it was written.
//!
//! Bounded in bytes, nodes and depth after aliases are followed, so that no file can blow up in memory.
//! Tags, second documents and keys that are not plain words are refused. Values stay texts: what a text
//! means is for the schema to say, so `off`, `1.10` or `0123` never change on the way.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::problems::{Origin, Report};

/// Longest file.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Most nodes, aliases followed.
const MAX_NODES: usize = 50_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where.
    pub origin: Origin,
    /// What.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing: a key without a value, or `null`.
    Nothing,
    /// A text; `plain` words may be numbers and switches too.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order written, doubled keys included.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where it was written.
    pub origin: Origin,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// An empty mapping.
    pub fn empty(origin: Origin) -> Self {
        Self {
            origin,
            value: Value::Map(Vec::new()),
        }
    }

    /// Puts a text at a path of keys, making mappings on the way and replacing what was there. Does
    /// nothing where a value of another shape is in the way: that is a problem of its own.
    pub fn set(&mut self, path: &[&str], text: String, origin: &Origin) {
        self.put(path, Value::Text(text), origin);
    }

    /// As [`Self::set`], with any value.
    pub fn put(&mut self, path: &[&str], value: Value, origin: &Origin) {
        let Some((key, rest)) = path.split_first() else {
            self.value = value;
            self.origin = origin.clone();
            return;
        };
        if matches!(self.value, Value::Nothing) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else {
            return;
        };
        if let Some(entry) = entries.iter_mut().find(|e| e.key == *key) {
            return entry.node.put(rest, value, origin);
        }
        let mut node = Self::empty(origin.clone());
        node.put(rest, value, origin);
        entries.push(Entry {
            key: (*key).to_owned(),
            origin: origin.clone(),
            node,
        });
    }

    /// Removes the key at a path, if it is there.
    pub fn remove(&mut self, path: &[&str]) {
        let (Some((key, rest)), Value::Map(entries)) = (path.split_first(), &mut self.value) else {
            return;
        };
        if rest.is_empty() {
            entries.retain(|e| e.key != *key);
        } else if let Some(entry) = entries.iter_mut().find(|e| e.key == *key) {
            entry.node.remove(rest);
        }
    }
}

/// Reads a YAML text. `None` when it cannot be read at all; the report says why.
pub fn read(text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_FILE_BYTES {
        report.add_at(
            "",
            None,
            "a file of more than 1 MiB",
            "a configuration",
            "check that this is the right file",
        );
        return None;
    }
    let mut builder = Builder::default();
    for step in Parser::new_from_str(text) {
        match step {
            Ok((event, span)) => builder.event(event, span, report)?,
            Err(error) => {
                report.add_at(
                    "",
                    Some(at(error.marker())),
                    format!("a text that is no YAML: {}", error.info()),
                    "YAML",
                    "look at this line and the one before it: indentation, quotes, brackets, colons",
                );
                return None;
            }
        }
    }
    Some(
        builder
            .root
            .unwrap_or(Node::empty(Origin::File { line: 1, column: 1 })),
    )
}

fn at(mark: &Marker) -> Origin {
    Origin::File {
        line: mark.line(),
        column: mark.col().saturating_add(1),
    }
}

/// A collection that is being read.
struct Open {
    origin: Origin,
    anchor: usize,
    /// For a mapping: its entries, and the key that waits for a value. For a list: its items.
    content: Content,
    nodes: usize,
    height: usize,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, Origin)>),
}

#[derive(Clone)]
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

impl Builder {
    /// Takes one event; `None` ends the reading.
    fn event(&mut self, event: Event<'_>, span: Span, report: &mut Report) -> Option<()> {
        let origin = at(&span.start);
        let refuse = |report: &mut Report, found: &str, remedy: &str| {
            report.add_at("", Some(origin.clone()), found, "plain YAML values", remedy);
        };
        match event {
            Event::DocumentStart(..) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    refuse(
                        report,
                        "a second document",
                        "remove the line --- and what follows",
                    );
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    refuse(report, "a tag", "remove the word that begins with !");
                }
                let nothing =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if nothing {
                    Value::Nothing
                } else {
                    Value::Text(text.into_owned())
                };
                self.nodes = self.nodes.saturating_add(1);
                let done = Anchored {
                    node: Node { origin, value },
                    nodes: 1,
                    height: 1,
                };
                return self.complete(done, anchor, report);
            }
            Event::Alias(id) => {
                let Some(anchored) = self.anchors.get(&id).cloned() else {
                    refuse(report, "an alias of what it stands in", "write the values out");
                    return None;
                };
                self.nodes = self.nodes.saturating_add(anchored.nodes);
                return self.complete(anchored, 0, report);
            }
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) if tag.is_some() => {
                refuse(report, "a tag", "remove the word that begins with !");
                let _ = anchor;
                return None;
            }
            Event::SequenceStart(_, anchor, _) => self.start(origin, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.start(origin, anchor, Content::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let value = match open.content {
                    Content::List(items) => Value::List(items),
                    Content::Map(entries, _) => Value::Map(entries),
                };
                let done = Anchored {
                    node: Node {
                        origin: open.origin,
                        value,
                    },
                    nodes: open.nodes,
                    height: open.height.saturating_add(1),
                };
                return self.complete(done, open.anchor, report);
            }
            _ => {}
        }
        Some(())
    }

    fn start(&mut self, origin: Origin, anchor: usize, content: Content) {
        self.nodes = self.nodes.saturating_add(1);
        self.open.push(Open {
            origin,
            anchor,
            content,
            nodes: 1,
            height: 0,
        });
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, done: Anchored, anchor: usize, report: &mut Report) -> Option<()> {
        if self.nodes > MAX_NODES || self.open.len().saturating_add(done.height) > MAX_DEPTH {
            report.add_at(
                "",
                Some(done.node.origin),
                "more values, or deeper ones, than any configuration has",
                format!("at most {MAX_NODES} values and {MAX_DEPTH} levels, aliases followed"),
                "write the values out instead of nesting aliases",
            );
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, done.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(done.node);
            return Some(());
        };
        open.nodes = open.nodes.saturating_add(done.nodes);
        open.height = open.height.max(done.height);
        match &mut open.content {
            Content::List(items) => items.push(done.node),
            Content::Map(entries, waiting) => match waiting.take() {
                Some((key, origin)) => entries.push(Entry {
                    key,
                    origin,
                    node: done.node,
                }),
                None => {
                    let Value::Text(key) = done.node.value else {
                        report.add_at(
                            "",
                            Some(done.node.origin),
                            "a key that is no word",
                            "a word before the colon",
                            "write a key",
                        );
                        return None;
                    };
                    *waiting = Some((key, done.node.origin));
                }
            },
        }
        Some(())
    }
}
