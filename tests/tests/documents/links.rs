//! Test that every link between pages leads to a file, and every anchor to a heading.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::project::{files, prose, relative, root};

/// The anchors of a page's headings, as Markdown renderers make them.
fn anchors(text: &str) -> HashSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut found = HashSet::new();
    for line in prose(text) {
        let Some(title) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else {
            continue;
        };
        let slug: String = without_links(title.trim())
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        found.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}

/// A title with the texts of its links.
fn without_links(title: &str) -> String {
    let mut text = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(&before.replacen('[', "", 1));
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text + rest
}

/// The targets of all links in a page.
fn targets(text: &str) -> Vec<String> {
    let text = prose(text).join("\n");
    let mut found = Vec::new();
    for (number, part) in text.split("](").enumerate() {
        if number > 0
            && let Some((target, _)) = part.split_once(')')
        {
            found.push(target.trim().to_owned());
        }
    }
    found
}

/// What is wrong with a link in `page`, if anything is.
fn fault(
    page: &Path,
    target: &str,
    cache: &mut HashMap<PathBuf, HashSet<String>>,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) =
        target.split_once('#').map_or((target, None), |(path, at)| (path, Some(at)));
    let file = if path.is_empty() { page.to_owned() } else { page.parent()?.join(path) };
    let Ok(file) = file.canonicalize() else {
        return Some(format!("{}: no file {path}", relative(page)));
    };
    let anchor = anchor?;
    let read = |file: &Path| anchors(&std::fs::read_to_string(file).unwrap_or_default());
    let known = cache.entry(file.clone()).or_insert_with_key(|file| read(file));
    (!known.contains(anchor)).then(|| format!("{}: no heading for {target}", relative(page)))
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let pages = files(&root(), &["md"]);
    assert!(pages.len() > 20, "only {} pages", pages.len());
    let mut cache = HashMap::new();
    let mut faults = Vec::new();
    let mut links = 0;
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("a page");
        for target in targets(&text) {
            links += 1;
            faults.extend(fault(page, &target, &mut cache));
        }
    }
    assert!(links > 200, "only {links} links");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_wrong_link_is_found() {
    let page = root().join("docs/ring.md");
    let mut cache = HashMap::new();
    for wrong in ["none.md", "#no-such-heading", "tls.md#no-such-heading", "../README"] {
        assert!(fault(&page, wrong, &mut cache).is_some(), "{wrong}");
    }
    for right in ["tls.md", "../README.md", "decisions/README.md", "https://example.org/none"] {
        assert!(fault(&page, right, &mut cache).is_none(), "{right}");
    }
    let known = anchors("# A `get`, and [more](x.md)\n## A\n## A\n    # code\n");
    assert_eq!(known, HashSet::from(["a-get-and-more", "a", "a-1"].map(str::to_owned)));
}
