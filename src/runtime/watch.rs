//! Tells when a file may have changed: by what the system says of its folder, and now and then regardless.
//!
//! Folders are watched rather than files, because a file is replaced more often than written: by renaming, or by
//! turning a symbolic link to another folder, as Kubernetes does with `..data`. So the folder of every link on
//! the way to a file is watched too. What is told is a hint: whoever hears it compares contents. Folders that
//! cannot be watched, and file systems that say nothing, are covered by asking to look every now and then.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A change is told once nothing has moved for so long: writing takes several steps.
const QUIET: Duration = Duration::from_millis(150);
/// But after this time at the latest.
const AT_LATEST: Duration = Duration::from_secs(2);
/// How often to look regardless.
const REGARDLESS: Duration = Duration::from_secs(60);
/// The same while some folder cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(2);
/// Most links followed on the way to one file.
const MAX_LINKS: usize = 32;

/// Watches files.
pub struct FileWatch {
    /// `None`: the system offers no way.
    watcher: Option<RecommendedWatcher>,
    news: Arc<News>,
    folders: BTreeSet<PathBuf>,
    regardless: Duration,
    /// Something has moved that nobody was told of yet.
    untold: bool,
}

#[derive(Default)]
struct News {
    /// Entries of folders that lead to the files.
    places: Mutex<BTreeSet<PathBuf>>,
    moved: Notify,
}

impl News {
    fn hear(&self, event: &Event) {
        // Our own reading is no news.
        let written = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => event.need_rescan(),
            _ => true,
        };
        let places = self.places.lock();
        // A folder that goes away is told under its own name.
        let ours = |path: &PathBuf| places.iter().any(|p| p == path || p.parent() == Some(path));
        if written && (event.need_rescan() || event.paths.iter().any(ours)) {
            self.moved.notify_one();
        }
    }
}

impl FileWatch {
    /// Watches nothing yet.
    pub fn new() -> Self {
        let news = Arc::new(News::default());
        let heard = Arc::clone(&news);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => heard.hear(&event),
            Err(_) => heard.moved.notify_one(),
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes of files are not told by this system; it is asked now and then");
        }
        Self {
            watcher: watcher.ok(),
            news,
            folders: BTreeSet::new(),
            regardless: REGARDLESS,
            untold: false,
        }
    }

    /// Watches these files and no others. Afterwards their contents must be looked at: what happened until now
    /// may not be told.
    pub fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let mut places = BTreeSet::new();
        files.for_each(|file| places_of(file, &mut places));
        let folders = places.iter().filter_map(|p| p.parent()).map(Path::to_owned);
        let folders: BTreeSet<PathBuf> = folders.collect();
        *self.news.places.lock() = places;
        self.regardless = REGARDLESS;
        let Some(watcher) = &mut self.watcher else {
            self.regardless = UNWATCHED;
            return;
        };
        for folder in &self.folders {
            // An error says that it is gone, and so is the watch.
            let _ = watcher.unwatch(folder);
        }
        for folder in &folders {
            // Anew each time: another folder may be there under the same name.
            if watcher.watch(folder, RecursiveMode::NonRecursive).is_err() {
                self.regardless = UNWATCHED;
            }
        }
        self.folders = folders;
    }

    /// Waits until some file may have changed, and has come to rest. Whoever stops waiting loses nothing: the
    /// next call tells it.
    pub async fn changed(&mut self) {
        if !self.untold {
            let moved = tokio::time::timeout(self.regardless, self.news.moved.notified());
            if moved.await.is_err() {
                return;
            }
            self.untold = true;
        }
        let rest = async {
            while tokio::time::timeout(QUIET, self.news.moved.notified())
                .await
                .is_ok()
            {}
        };
        let _ = tokio::time::timeout(AT_LATEST, rest).await;
        self.untold = false;
    }
}

impl Default for FileWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// The file's own place, and that of every link on the way to it.
fn places_of(file: &Path, out: &mut BTreeSet<PathBuf>) {
    let Ok(mut path) = std::path::absolute(file) else {
        return;
    };
    for _ in 0..MAX_LINKS {
        match first_link(&path) {
            Some((link, target, rest)) => {
                let folder = link.parent().unwrap_or(Path::new("/"));
                path = plain(&folder.join(target).join(rest));
                out.insert(link);
            }
            None => break,
        }
    }
    out.insert(path);
}

/// The first symbolic link on the way, where it leads, and what comes after it.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let mut way = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        way.push(part);
        if let Ok(target) = std::fs::read_link(&way) {
            return Some((way, target, parts.as_path().to_owned()));
        }
    }
    None
}

/// Without `.` and `..`. What comes before a `..` here is no link: those were followed.
fn plain(path: &Path) -> PathBuf {
    let mut parts: Vec<OsString> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if parts.len() > 1 {
                    parts.pop();
                }
            }
            Component::CurDir => {}
            other => parts.push(other.as_os_str().to_owned()),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use futures::FutureExt;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn hears(watch: &mut FileWatch, what: &str) {
        let told = tokio::time::timeout(PATIENCE, watch.changed());
        told.await
            .unwrap_or_else(|_| panic!("nothing was told of {what}"));
    }

    #[tokio::test]
    async fn writing_renaming_and_turning_links_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for version in ["..v1", "..v2", "..v3"] {
            fs::create_dir(at(version)).expect("made");
            fs::write(at(version).join("key"), version).expect("written");
        }
        symlink("..v1", at("..data")).expect("linked");
        symlink("..data/key", at("key")).expect("linked");
        fs::write(at("plain"), "1").expect("written");
        let files = [at("key"), at("plain"), at("missing")];
        let mut watch = FileWatch::new();
        let follow = |watch: &mut FileWatch| watch.follow(files.iter().map(PathBuf::as_path));

        follow(&mut watch);
        fs::write(at("plain"), "2").expect("written");
        hears(&mut watch, "a file that is written").await;
        fs::write(at("new"), "3").expect("written");
        fs::rename(at("new"), at("plain")).expect("renamed");
        hears(&mut watch, "a file that is replaced").await;
        for version in ["..v2", "..v3"] {
            follow(&mut watch);
            symlink(version, at("..data_tmp")).expect("linked");
            fs::rename(at("..data_tmp"), at("..data")).expect("turned");
            hears(&mut watch, "a link that is turned").await;
        }
        follow(&mut watch);
        fs::write(at("..v3/key"), "4").expect("written");
        hears(&mut watch, "a file behind two links").await;
        fs::write(at("missing"), "5").expect("written");
        hears(&mut watch, "a file that was missing").await;
    }

    #[tokio::test(start_paused = true)]
    async fn reading_and_other_files_are_not_told_and_it_is_looked_regardless() {
        let news = News::default();
        news.places.lock().insert("/etc/app/key".into());
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        let write = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for (kind, path, told, why) in [
            (
                EventKind::Access(AccessKind::Open(AccessMode::Any)),
                "/etc/app/key",
                false,
                "we read it",
            ),
            (
                EventKind::Access(AccessKind::Close(AccessMode::Read)),
                "/etc/app/key",
                false,
                "we read it",
            ),
            (write, "/etc/app/other", false, "another file of the folder"),
            (write, "/etc/app/key", true, "written"),
            (
                EventKind::Remove(notify::event::RemoveKind::Folder),
                "/etc/app",
                true,
                "its folder",
            ),
        ] {
            news.hear(&event(kind, path));
            let heard = tokio::time::timeout(Duration::ZERO, news.moved.notified())
                .await
                .is_ok();
            assert_eq!(heard, told, "{why}");
        }
        let mut watch = FileWatch::new();
        let began = tokio::time::Instant::now();
        watch.changed().await;
        assert!(began.elapsed() >= REGARDLESS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_to_rest_is_told_all_the_same() {
        let mut watch = FileWatch::new();
        let news = Arc::clone(&watch.news);
        let moving = async {
            loop {
                news.moved.notify_one();
                tokio::time::sleep(QUIET / 2).await;
            }
        };
        let began = tokio::time::Instant::now();
        tokio::select! {
            () = watch.changed() => {}
            () = moving => {}
        }
        let took = began.elapsed();
        assert!((AT_LATEST..AT_LATEST + QUIET).contains(&took), "{took:?}");
    }

    #[test]
    fn every_link_on_the_way_to_a_file_has_a_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("there");
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("live/site")).expect("made");
        fs::create_dir_all(at("archive/site")).expect("made");
        fs::write(at("archive/site/cert3.pem"), "c").expect("written");
        symlink("../../archive/site/cert3.pem", at("live/site/cert.pem")).expect("linked");
        symlink("live", at("tls")).expect("linked");
        symlink(at("round"), at("round")).expect("linked");
        let places = |file: &str| {
            let mut out = BTreeSet::new();
            places_of(&at(file), &mut out);
            out.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(
            places("tls/site/cert.pem"),
            [at("archive/site/cert3.pem"), at("live/site/cert.pem"), at("tls")]
        );
        assert_eq!(places("not/there"), [at("not/there")]);
        assert_eq!(places("round"), [at("round")], "a link to itself has an end");
    }

    #[tokio::test]
    async fn what_was_heard_when_somebody_stopped_waiting_is_told_to_the_next() {
        let mut watch = FileWatch::new();
        watch.news.moved.notify_one();
        let stopped = watch.changed().now_or_never();
        assert!(stopped.is_none(), "it has not come to rest yet");
        hears(&mut watch, "a change before somebody else was served").await;
    }
}
