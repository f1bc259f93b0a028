//! What a reload replaces of the proxy, as one: the gate, the upstreams, the listeners' rules, our own pages.
//!
//! A request takes what is in force when its head is complete and keeps it to its end, so that it never sees
//! half of an exchange. Each data thread has its own view, with its own connections; a request finds out by
//! one atomic load, on a word that only a reload writes, whether that view is still the one in force.
//! Builds nothing: `app` does, before it replaces.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::access::Policy;
use super::observe::Observer;
use super::own_pages::OwnPages;
use super::pool::Upstream;
use super::settings::ListenerProfile;
use super::upstream::Directory;
use crate::domain::clock::Clock;
use crate::domain::net::NetworkSet;
use crate::edge::endpoints::Endpoints;
use crate::runtime::workers::spawn_here;

/// How often idle upstream connections are looked at.
const PRUNE_INTERVAL: Duration = Duration::from_secs(5);

/// Everything that requests read and a reload replaces.
pub struct Standing<D> {
    /// The gate.
    pub decide: Arc<D>,
    /// The apps behind us.
    pub upstreams: Vec<Arc<Directory>>,
    /// What listeners say now; by name, as connections outlive it.
    pub listeners: Vec<Arc<ListenerProfile>>,
    /// Pages answered here.
    pub own_pages: OwnPages,
    /// The public auth endpoints that are switched on.
    pub endpoints: Endpoints,
    /// Which requests get a line in the access log, where that is on.
    pub access: Option<Arc<Policy>>,
}

impl<D> fmt::Debug for Standing<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("upstreams", &self.upstreams)
            .finish_non_exhaustive()
    }
}

/// The one place where it stands. Clones share it.
#[derive(Debug)]
pub struct InForce<D>(Arc<watch::Sender<Arc<Standing<D>>>>);

impl<D> Clone for InForce<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D> InForce<D> {
    /// This is in force from the start.
    pub fn new(standing: Standing<D>) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(standing))))
    }

    /// Every request whose head is complete after this call is answered by it. Gives what was in force.
    pub fn replace(&self, standing: Standing<D>) -> Arc<Standing<D>> {
        self.0.send_replace(Arc::new(standing))
    }

    /// What is in force.
    pub fn current(&self) -> Arc<Standing<D>> {
        self.0.borrow().clone()
    }
}

/// One data thread's view of what was in force at one time.
#[derive(Debug)]
pub(super) struct View<D> {
    pub(super) standing: Arc<Standing<D>>,
    upstreams: Box<[Rc<Upstream>]>,
}

impl<D> View<D> {
    /// Takes over connections to the upstreams that stayed the same.
    fn new(standing: Arc<Standing<D>>, before: &[Rc<Upstream>], clock: &Clock) -> Self {
        let upstream = |directory: &Arc<Directory>| {
            let known = before.iter().find(|u| Arc::ptr_eq(u.directory(), directory));
            match known {
                Some(known) => Rc::clone(known),
                None => Upstream::new(Arc::clone(directory), clock.clone()),
            }
        };
        Self {
            upstreams: standing.upstreams.iter().map(upstream).collect(),
            standing,
        }
    }

    pub(super) fn upstream(&self, name: &Arc<str>) -> Option<&Rc<Upstream>> {
        let mut all = self.upstreams.iter();
        all.find(|u| Arc::ptr_eq(&u.settings().name, name) || u.settings().name == *name)
    }

    /// Whom a listener believes now. A connection may be older than the rule, and the rule may be there
    /// because somebody is not to be believed any more.
    pub(super) fn trusted_proxies<'a>(&'a self, arrived_at: &'a Arc<ListenerProfile>) -> &'a NetworkSet {
        let same = |l: &&Arc<ListenerProfile>| Arc::ptr_eq(l, arrived_at) || l.name == arrived_at.name;
        let found = self.standing.listeners.iter().find(same);
        &found.unwrap_or(arrived_at).trusted_proxies
    }

    fn has(&self, upstream: &Rc<Upstream>) -> bool {
        self.upstreams.iter().any(|u| Rc::ptr_eq(u, upstream))
    }
}

/// Keeps a data thread's view up to date.
#[derive(Debug)]
pub(super) struct Viewer<D> {
    /// Held so that there can be news as long as somebody waits for them.
    _in_force: InForce<D>,
    news: RefCell<watch::Receiver<Arc<Standing<D>>>>,
    view: RefCell<Rc<View<D>>>,
    observer: Rc<Observer>,
    clock: Clock,
}

impl<D: Send + Sync + 'static> Viewer<D> {
    /// The view of the data thread that calls this. A task of the thread lets go of what is not in force
    /// any more, also when no request comes.
    pub(super) fn new(in_force: &InForce<D>, observer: &Rc<Observer>, clock: &Clock) -> Rc<Self> {
        let mut news = in_force.0.subscribe();
        let standing = news.borrow_and_update().clone();
        let viewer = Rc::new(Self {
            _in_force: in_force.clone(),
            news: RefCell::new(news),
            view: RefCell::new(Rc::new(View::new(standing, &[], clock))),
            observer: Rc::clone(observer),
            clock: clock.clone(),
        });
        spawn_here(keep(Rc::downgrade(&viewer), in_force.0.subscribe()));
        viewer
    }

    /// What is in force now.
    pub(super) fn view(&self) -> Rc<View<D>> {
        // An error would mean that the sender is gone, which is ours.
        if self.news.borrow().has_changed().unwrap_or(false) {
            self.renew();
        }
        Rc::clone(&self.view.borrow())
    }

    fn renew(&self) {
        let standing = self.news.borrow_mut().borrow_and_update().clone();
        let before = Rc::clone(&self.view.borrow());
        let view = Rc::new(View::new(standing, &before.upstreams, &self.clock));
        let gone = before.upstreams.iter().filter(|u| !view.has(u));
        // Requests under way may still open connections of their own there; nothing is kept.
        gone.for_each(|u| u.vanish());
        self.observer.forget_routes();
        *self.view.borrow_mut() = view;
    }
}

async fn keep<D: Send + Sync + 'static>(
    viewer: Weak<Viewer<D>>,
    mut news: watch::Receiver<Arc<Standing<D>>>,
) {
    let mut interval = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            changed = news.changed() => if changed.is_err() { return },
        }
        let Some(viewer) = viewer.upgrade() else {
            return;
        };
        viewer.view().upstreams.iter().for_each(|u| u.prune());
    }
}
