//! Kubernetes manifests: schemas, the restricted pod-security level, and that times, ports, labels and the
//! embedded configurations fit together.

use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::{documents, run, start, tool, warnings};
use crate::support::{Reply, Upstream, http};

/// Each shipped way, and the file it stands in.
const WAYS: [&str; 2] = [
    "deploy/kubernetes/native-sidecar.yaml",
    "deploy/kubernetes/sidecar-container.yaml",
];

/// How long the last flush may take; `doorward check` reckons with the same.
const FLUSH: u64 = 10;

/// One way of deployment.
struct Way {
    name: &'static str,
    documents: Vec<Value>,
}

impl Way {
    fn all() -> Vec<Self> {
        let way = |name| Self {
            name,
            documents: documents(name),
        };
        WAYS.into_iter().map(way).collect()
    }

    fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.documents.iter().filter(|d| d["kind"] == kind).collect()
    }

    fn pod(&self) -> &Value {
        &self.of_kind("Deployment")[0]["spec"]["template"]
    }

    /// Sidecar containers among the init containers, and ordinary ones.
    fn containers(&self) -> Vec<&Value> {
        let spec = &self.pod()["spec"];
        let lists = [&spec["initContainers"], &spec["containers"]];
        lists.into_iter().filter_map(Value::as_array).flatten().collect()
    }

    fn doorward(&self) -> &Value {
        self.containers()
            .into_iter()
            .find(|c| c["name"] == "doorward")
            .expect("a container doorward")
    }

    fn app(&self) -> &Value {
        self.containers()
            .into_iter()
            .find(|c| c["name"] != "doorward")
            .expect("an app")
    }

    fn configuration(&self) -> &str {
        self.of_kind("ConfigMap")[0]["data"]["doorward.yaml"]
            .as_str()
            .expect("a configuration")
    }
}

fn seconds(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}: a duration"));
    text.strip_suffix('s')
        .and_then(|n| n.parse().ok())
        .expect("seconds")
}

#[test]
fn every_manifest_has_the_form_that_kubernetes_wants() {
    // `sleep` as a pause came with 1.30, restartPolicy of init containers with 1.28.
    for version in ["1.30.0", "1.37.0"] {
        let mut command = tool("kubernetes-validate");
        command.args(["--strict", "-k", version]);
        let files = ["deploy/kubernetes/namespace.yaml", WAYS[0], WAYS[1]];
        let (good, said) = run(command.args(files.map(super::path)));
        assert!(good && !said.contains("WARN"), "{version}: {said}");
        assert!(said.matches("passed").count() >= 12, "{version}: {said}");
    }
}

#[test]
fn a_manifest_with_a_key_that_is_none_is_refused_by_that_check() {
    let folder = TempDir::new().expect("a folder");
    let broken = super::read(WAYS[0]).replace("readOnlyRootFilesystem", "readonlyRootFilesystem");
    let file = folder.path().join("broken.yaml");
    std::fs::write(&file, broken).expect("written");
    let (good, said) = run(tool("kubernetes-validate").arg("--strict").arg(&file));
    assert!(!good && said.contains("readonlyRootFilesystem"), "{said}");
}

#[test]
fn pods_keep_to_the_restricted_level_and_to_a_little_more() {
    for way in Way::all() {
        let spec = &way.pod()["spec"];
        let name = way.name;
        let pod = &spec["securityContext"];
        assert_eq!(pod["runAsNonRoot"], true, "{name}");
        assert!(pod["runAsUser"].as_u64() > Some(0), "{name}");
        assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        for wide in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(spec[wide].is_null(), "{name} {wide}");
        }
        for container in way.containers() {
            let what = format!("{name} {}", container["name"]);
            let own = &container["securityContext"];
            assert_eq!(own["allowPrivilegeEscalation"], false, "{what}");
            assert_eq!(own["readOnlyRootFilesystem"], true, "{what}");
            assert_eq!(
                own["capabilities"],
                serde_json::json!({ "drop": ["ALL"] }),
                "{what}"
            );
            assert!(
                own["privileged"].is_null() && own["runAsUser"].is_null(),
                "{what}"
            );
            for bound in ["cpu", "memory"] {
                assert!(
                    container["resources"]["requests"][bound].is_string(),
                    "{what} {bound}"
                );
                assert!(
                    container["resources"]["limits"][bound].is_string(),
                    "{what} {bound}"
                );
            }
            for port in container["ports"].as_array().into_iter().flatten() {
                assert!(port["hostPort"].is_null(), "{what}");
            }
        }
        let allowed = [
            "configMap",
            "secret",
            "emptyDir",
            "persistentVolumeClaim",
            "projected",
        ];
        for volume in spec["volumes"].as_array().expect("volumes") {
            let sort = volume
                .as_object()
                .expect("a volume")
                .keys()
                .find(|k| *k != "name");
            assert!(
                sort.is_some_and(|s| allowed.contains(&s.as_str())),
                "{name} {volume}"
            );
        }
    }
    let namespace = &documents("deploy/kubernetes/namespace.yaml")[0];
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(level, "restricted");
}

#[test]
fn probes_scrapes_and_policies_find_the_status_door() {
    let monitor = &documents("deploy/kubernetes/service-monitor.yaml")[0];
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    let watched = &monitor["spec"]["selector"]["matchLabels"];
    let scraped = &monitor["spec"]["endpoints"][0];
    for way in Way::all() {
        let name = way.name;
        let door = way.doorward();
        let port = |name: &str| {
            let ports = door["ports"].as_array().expect("ports");
            let port = ports.iter().find(|p| p["name"] == name).expect("the port");
            port["containerPort"].as_u64().expect("a number")
        };
        let status = format!("0.0.0.0:{}", port("status"));
        let environment = &door["env"][0];
        assert_eq!(environment["name"], "DOORWARD_STATUS_ADDRESS", "{name}");
        assert_eq!(environment["value"], status.as_str(), "{name}");
        let probes = [
            ("startupProbe", "/startupz"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ];
        for (probe, path) in probes {
            let asked = &door[probe]["httpGet"];
            assert_eq!(
                (&asked["path"], &asked["port"]),
                (&path.into(), &"status".into()),
                "{name} {probe}"
            );
        }
        let annotations = &way.pod()["metadata"]["annotations"];
        assert_eq!(annotations["prometheus.io/scrape"], "true", "{name}");
        assert_eq!(
            annotations["prometheus.io/port"],
            port("status").to_string().as_str(),
            "{name}"
        );
        assert_eq!(annotations["prometheus.io/path"], scraped["path"], "{name}");

        let labels = &way.pod()["metadata"]["labels"];
        let services = way.of_kind("Service");
        for service in &services {
            assert_eq!(&service["spec"]["selector"], labels, "{name}");
        }
        let seen: Vec<_> = services
            .iter()
            .filter(|s| {
                let wanted = watched.as_object().expect("labels");
                wanted.iter().all(|(k, v)| &s["metadata"]["labels"][k] == v)
            })
            .collect();
        assert_eq!(seen.len(), 1, "{name}: one service is watched");
        assert_eq!(seen[0]["spec"]["ports"][0]["name"], scraped["port"], "{name}");
        assert_eq!(seen[0]["spec"]["ports"][0]["port"], port("status"), "{name}");

        let policy = &way.of_kind("NetworkPolicy")[0]["spec"];
        assert_eq!(&policy["podSelector"]["matchLabels"], labels, "{name}");
        let open = policy["ingress"].as_array().expect("rules").iter();
        let open: Vec<_> = open.filter(|r| r["from"].is_null()).collect();
        assert_eq!(open.len(), 1, "{name}");
        assert_eq!(
            open[0]["ports"],
            serde_json::json!([{ "port": "http" }]),
            "{name}: only the proxy is for all"
        );
        let app = way.app();
        let listens = app["args"][0].as_str().expect("where it listens");
        assert!(
            listens.contains("127.0.0.1:9000"),
            "{name}: nobody reaches the app but through Doorward"
        );
        assert!(way.configuration().contains("http://127.0.0.1:9000"), "{name}");
    }
}

/// What a folder mounted whole shows is swapped at once when it changes; a file mounted by subPath never is.
#[test]
fn what_changes_in_a_configmap_or_secret_reaches_the_pod() {
    for way in Way::all() {
        for mount in way.doorward()["volumeMounts"].as_array().expect("mounts") {
            assert!(mount["subPath"].is_null(), "{} {mount}", way.name);
        }
    }
}

#[test]
fn the_pods_live_as_long_as_stopping_takes() {
    for way in Way::all() {
        let name = way.name;
        let text = way.configuration();
        let file = TempDir::new().expect("a folder");
        let path = file.path().join("doorward.yaml");
        std::fs::write(&path, text).expect("written");
        let parsed = {
            let script = "import json, sys, yaml\nprint(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
            let (good, said) = run(tool("python").args(["-c", script]).arg(&path));
            assert!(good, "{said}");
            serde_json::from_str::<Value>(&said).expect("JSON")
        };
        let drain = &parsed["drain"];
        let (delay, timeout) = (seconds(&drain["delay"]), seconds(&drain["timeout"]));
        let grace = seconds(&drain["grace_period"]);
        assert!(delay + timeout + FLUSH <= grace, "{name}: {drain}");
        let pod = way.pod()["spec"]["terminationGracePeriodSeconds"]
            .as_u64()
            .expect("a number");
        let pause = way.app()["lifecycle"]["preStop"]["sleep"]["seconds"]
            .as_u64()
            .expect("a pause");
        if way.doorward()["restartPolicy"] == "Always" {
            assert!(
                pause + 10 + grace <= pod,
                "{name}: the app pauses and ends before Doorward is told"
            );
            assert_eq!(delay, 0, "{name}: nobody comes any more when Doorward is told");
        } else {
            assert_eq!(grace, pod, "{name}: Doorward is told at once");
            assert!(
                pause > delay + timeout,
                "{name}: the app outlives the last request"
            );
            assert!(pause < pod, "{name}: and has time to end");
        }
    }
}

/// The configuration in a ConfigMap, with paths and addresses of this test.
fn at_home(way: &Way, folder: &TempDir, upstream: &Upstream) -> String {
    use base64::Engine;
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).expect("a folder");
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let key_file = secrets.join("device-token.key");
    std::fs::write(&key_file, key).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key_file, mode).expect("narrowed");
    way.configuration()
        .replace("/run/secrets/doorward", &secrets.display().to_string())
        .replace("/data/", &format!("{}/", folder.path().display()))
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &upstream.address.to_string())
}

#[test]
fn the_embedded_configurations_are_good_and_serve() {
    for way in Way::all() {
        let name = way.name;
        let upstream = Upstream::start(Reply::Ok("hello"));
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let text = at_home(&way, &folder, &upstream);

        // As in the pod: nothing about doors that nobody reaches, or about times that do not fit.
        let config = folder.path().join("checked.yaml");
        std::fs::write(&config, text.replace("127.0.0.1:0", "0.0.0.0:8080")).expect("written");
        let pod = [
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
            ("DOORWARD_STATUS_ADDRESS", "0.0.0.0:9902"),
        ];
        assert_eq!(warnings(&config, &pod), Vec::<String>::new(), "{name}");
        let closed = warnings(&config, &pod[..1]);
        assert!(
            closed.iter().any(|w| w.starts_with("status.address")),
            "{name}: {closed:?}"
        );

        let door = start(&folder, &text);
        assert_eq!(http::get(door.status, "/startupz", &[]).status, 200, "{name}");
        assert_eq!(http::get(door.status, "/readyz", &[]).status, 200, "{name}");
        assert_eq!(door.get("/healthz", &[]).status, 200, "{name}: the app's probe");
        assert_ne!(door.get("/", &[]).status, 200, "{name}: everybody else");
        assert!(door.admin.is_none(), "{name}: management by the socket only");
        let seen = upstream.seen().len();
        assert_eq!(seen, 1, "{name}: only the probe came through");
        assert!(door.folder().join("doorward/admin.sock").exists(), "{name}");
    }
}
