//! Reads Rust source just well enough: comments and literals blanked, test code taken out, paths found.

/// A source file, prepared for rules.
#[derive(Debug)]
pub struct Source {
    /// Path below `src`, with `/`.
    pub path: String,
    /// First line as written.
    pub first_line: String,
    /// Lines of code; comments, literals and test code are blank.
    pub code: Vec<String>,
    /// Lines that are not test code, comments and blank lines included.
    pub length: usize,
    /// Modules declared as `#[cfg(test)] mod name;`.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Prepares a file.
    pub fn read(path: &str, text: &str) -> Self {
        let mut code = blank_literals(text);
        let (test_modules, test_lines) = blank_tests(&mut code);
        let code = String::from_utf8_lossy(&code)
            .lines()
            .map(str::to_owned)
            .collect();
        Self {
            path: path.to_owned(),
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            code,
            length: text.lines().count() - test_lines,
            test_modules,
        }
    }

    /// The room it belongs to: its top folder or file name.
    pub fn room(&self) -> &str {
        let top = self.path.split('/').next().unwrap_or_default();
        top.strip_suffix(".rs").unwrap_or(top)
    }

    /// Every path that begins at the crate's root, with its line: `["store", "Page"]`. Nested lists are
    /// opened one level, relative paths resolved.
    pub fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let text = self.code.join("\n");
        let mut found = Vec::new();
        for (at, _) in text.match_indices("crate::") {
            if !continues_a_name(&text, at) {
                follow(&text, at + "crate::".len(), &[], &mut found);
            }
        }
        for (at, _) in text.match_indices("super::") {
            let before = &text[..at];
            if continues_a_name(&text, at) || before.trim_end().ends_with("::") {
                continue;
            }
            let mut rest = &text[at..];
            let mut module = self.module();
            while let Some(after) = rest.strip_prefix("super::") {
                module.pop();
                rest = after;
            }
            follow(&text, text.len() - rest.len(), &module, &mut found);
        }
        found
            .into_iter()
            .map(|(at, path)| (text[..at].matches('\n').count() + 1, path))
            .collect()
    }

    /// The module's path: `edge/proxy/mod.rs` is `["edge", "proxy"]`.
    fn module(&self) -> Vec<String> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').map(str::to_owned).collect()
    }

    /// Lines on which this text stands and does not continue a longer name.
    pub fn lines_with(&self, text: &str) -> Vec<usize> {
        let has = |line: &str| {
            line.match_indices(text)
                .any(|(at, _)| !continues_a_name(line, at))
        };
        let numbered = self.code.iter().enumerate();
        numbered
            .filter(|(_, line)| has(line))
            .map(|(i, _)| i + 1)
            .collect()
    }
}

fn continues_a_name(text: &str, at: usize) -> bool {
    text[..at]
        .chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '\''))
}

/// Reads a path from here: names joined by `::`, then perhaps a list in braces.
fn follow(text: &str, mut at: usize, base: &[String], found: &mut Vec<(usize, Vec<String>)>) {
    let mut path = base.to_vec();
    loop {
        let rest = &text[at..];
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if name.is_empty() {
            break;
        }
        at += name.len();
        if name == "super" {
            path.pop();
        } else {
            path.push(name);
        }
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    if text[at..].starts_with('{') {
        let mut depth = 0;
        let mut start = at + 1;
        for (i, c) in text[at..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if (c == ',' && depth == 1) || depth == 0 {
                let item = &text[start..at + i];
                let from = start + (item.len() - item.trim_start().len());
                if !item.trim().is_empty() {
                    follow(text, from, &path, found);
                }
                start = at + i + 1;
            }
            if depth == 0 {
                break;
            }
        }
    } else if !path.is_empty() {
        found.push((at.saturating_sub(1), path));
    }
}

/// Blanks comments, and the insides of string and character literals. Keeps every line feed.
fn blank_literals(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let end = if rest.starts_with(b"//") {
            i + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            i + block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !continues_a_name(text, i)) {
            i + length
        } else if rest[0] == b'"' {
            i + quoted(rest, b'"')
        } else if rest[0] == b'\'' && is_character(rest) {
            i + quoted(rest, b'\'')
        } else {
            i += 1;
            while !text.is_char_boundary(i) {
                i += 1;
            }
            continue;
        };
        blank(&mut out, i, end);
        i = end;
    }
    out
}

fn blank(out: &mut [u8], from: usize, to: usize) {
    for byte in &mut out[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        if rest[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                break;
            }
        } else {
            i += 1;
        }
    }
    i.min(rest.len())
}

/// Length of `r"…"`, `r#"…"#`, `br"…"`, if one begins here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"br").or_else(|| rest.strip_prefix(b"r"))?;
    let hashes = after.iter().take_while(|b| **b == b'#').count();
    if after.get(hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(vec![b'#'; hashes]).collect();
    let from = rest.len() - after.len() + hashes + 1;
    let found = rest[from..].windows(close.len()).position(|w| w == close)?;
    Some(from + found + close.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != quote {
        i += if rest[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// `'a'` and `'\n'` are characters, `'a` is a lifetime.
fn is_character(rest: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(8)]).into_owned();
    let mut chars = text.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// Blanks every item under `#[cfg(test)]`. Returns the modules declared so, and the lines blanked.
fn blank_tests(code: &mut [u8]) -> (Vec<String>, usize) {
    const MARK: &[u8] = b"#[cfg(test)]";
    let (mut modules, mut lines) = (Vec::new(), 0);
    while let Some(start) = code.windows(MARK.len()).position(|w| w == MARK) {
        let after = start + MARK.len();
        let mut depth = 0_i32;
        let mut end = code.len();
        for (i, byte) in code[after..].iter().enumerate() {
            match byte {
                b'{' | b'(' | b'[' => depth += 1,
                b'}' | b')' | b']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(byte, b';' | b'}') {
                end = after + i + 1;
                break;
            }
        }
        let item = String::from_utf8_lossy(&code[after..end]).into_owned();
        let words: Vec<&str> = item.trim_end_matches(';').split_whitespace().collect();
        if let Some(at) = words.iter().position(|w| *w == "mod")
            && item.ends_with(';')
        {
            modules.extend(words.get(at + 1).map(|name| (*name).to_owned()));
        }
        lines += code[start..end].iter().filter(|b| **b == b'\n').count() + 1;
        blank(code, start, end);
    }
    (modules, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        let found = Source::read(path, text).paths();
        found
            .into_iter()
            .map(|(line, p)| format!("{line} {}", p.join("::")))
            .collect()
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        for (path, text, expected) in [
            ("gate/mod.rs", "use crate::store::Page;", vec!["1 store::Page"]),
            (
                "gate/mod.rs",
                "\nfn f() -> crate::store::Result<()> {}",
                vec!["2 store::Result"],
            ),
            (
                "gate/mod.rs",
                "use crate::{authn::{a, b}, store};\nuse crate::{\n    edge::proxy,\n};",
                vec!["1 authn::a", "1 authn::b", "1 store", "3 edge::proxy"],
            ),
            ("gate/mod.rs", "use super::store::Page;", vec!["1 store::Page"]),
            (
                "edge/proxy/mod.rs",
                "use super::status::X;",
                vec!["1 edge::status::X"],
            ),
            (
                "edge/proxy/pool.rs",
                "use super::super::status;",
                vec!["1 edge::status"],
            ),
            (
                "edge/proxy/pool.rs",
                "use super::{head, super::status};",
                vec!["1 edge::proxy::head", "1 edge::status", "1 edge::proxy::status"],
            ),
            (
                "gate/mod.rs",
                "// crate::edge\nlet x = \"crate::edge\"; /* crate::edge */",
                vec![],
            ),
            (
                "gate/mod.rs",
                "let x = r#\"crate::edge \" \"#; use crate::authn;",
                vec!["1 authn"],
            ),
            (
                "gate/mod.rs",
                "let q = '\"'; use crate::authn; let l: &'a str;",
                vec!["1 authn"],
            ),
            ("gate/mod.rs", "pub(in crate::gate) fn f() {}", vec!["1 gate"]),
        ] {
            assert_eq!(paths(path, text), expected, "{text}");
        }
    }

    #[test]
    fn test_code_does_not_count() {
        let text = "//! Head.\nuse crate::authn;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n    use crate::edge;\n}\nfn last() {}\n";
        let source = Source::read("gate/mod.rs", text);
        assert_eq!(source.test_modules, ["tests"]);
        assert_eq!(source.length, 3, "of nine lines, six are tests");
        assert_eq!(source.paths().len(), 1);
        assert_eq!(source.lines_with("fn last"), [9]);
        assert!(source.lines_with("ast").is_empty(), "part of a longer name");
    }
}
