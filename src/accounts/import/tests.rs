//! Files as the other programs give them, and what comes in afterwards.

use std::io::{self, Cursor};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::accounts::testing::{Folder, Instance, PEPPER, actor};
use crate::accounts::{CredentialFilter, Page};
use crate::crypto::{portable_digest, sha256};
use crate::domain::identity::{CredentialKind, PrincipalKind, WriteAccess};
use crate::domain::reason::Reason;
use crate::store::sqlite::OpenAs;

/// A token as HomeChat's program makes them, and its digests as Rails' bcrypt and the older rows have them.
const HOMECHAT: &str = "5f0c3b1e9a7d42868c1f0e3d5b7a9c2e4f6081a3c5e7092b4d6f8a1c3e507294";
const HOMECHAT_BCRYPT: &str = "$2a$12$abcdefghijklmnopqrstuucy9E4L.SwfEjNiwvh7s0UQUZgaWfvyK";
const HOMECHAT_SHA256: &str = "f32742e4da8637088db80469f9c614711d201980c159bafd9a565372f4ca6c0b";

/// Notes what it is told, and may have enough of it.
#[derive(Default)]
struct Notes {
    refused: Vec<(u64, String)>,
    reached: Vec<u64>,
    breaks_at: Option<u64>,
}

impl Listener for Notes {
    fn refused(&mut self, line: u64, why: &str) -> io::Result<()> {
        if self.breaks_at == Some(line) {
            return Err(io::Error::other("enough"));
        }
        self.refused.push((line, why.to_owned()));
        Ok(())
    }
    fn reached(&mut self, bytes: u64) {
        self.reached.push(bytes);
    }
}

fn of(format: Format) -> Import {
    Import {
        format,
        tenant: None,
        peppered: Peppered::Yes,
        administrators: ForeignAdministrators::Refused,
        trial: Trial::Real,
        begin: Begin::WhereItEnded,
    }
}

async fn import(on: &Instance, wanted: &Import, text: &str) -> (ImportReport, Vec<(u64, String)>) {
    let mut notes = Notes::default();
    let report = on
        .accounts
        .import(Cursor::new(text.as_bytes()), wanted, &actor(), &mut notes)
        .await
        .expect("imported");
    (report, notes.refused)
}

async fn instance(folder: &Folder) -> Instance {
    Instance::on(folder, OpenAs::Tool).await
}

async fn refused(on: &Instance, kind: CredentialKind, text: &str) -> Reason {
    on.present(kind, text).await.expect_err("refused").reason
}

#[tokio::test]
async fn a_homechat_token_comes_in_by_its_own_digest_once_and_by_ours_from_then_on() {
    let folder = Folder::new();
    let on = instance(&folder).await;
    let older = HOMECHAT.replace('5', "6");
    let older_digest = portable_digest::sha256_pepper_text(older.as_bytes(), PEPPER.as_bytes());
    let older_digest = older_digest.rsplit(':').next().expect("letters");
    // As `sqlite3 -header -csv` prints the table, the older row without a prefix.
    let text = format!(
        "id,user_id,name,token_digest,token_prefix,token_type,scopes,active,expires_at,created_at\n\
         12,3,Home Assistant,{HOMECHAT_BCRYPT},{},bot,\"[\"\"channel:12:write\"\"]\",1,,2026-03-14 00:00:03.250\n\
         7,3,old,{older_digest},,user,[],1,2099-01-01 00:00:00,2025-09-01 00:00:00\n\
         8,4,off,{HOMECHAT_SHA256},deadbeef,user,[],0,,2025-09-01 00:00:00\n\
         9,4,lost,{HOMECHAT_BCRYPT},,user,[],1,,2025-09-01 00:00:00\n",
        &HOMECHAT[..8],
    );
    let (report, refusals) = import(&on, &of(Format::HomeChat), &text).await;
    assert_eq!((report.credentials, report.principals), (3, 2));
    assert!(
        matches!(&refusals[..], [(5, why)] if why.contains("no token_prefix")),
        "{refusals:?}"
    );

    let kind = CredentialKind::ApiToken;
    let who = on.present(kind, HOMECHAT).await.expect("comes in");
    let identity = who.identity();
    assert_eq!(identity.principal.as_str(), "homechat-user-3");
    assert_eq!(identity.scopes.to_string(), "channel:12:write");
    on.present(kind, &older).await.expect("comes in without a prefix");
    assert_eq!(
        refused(&on, kind, &HOMECHAT.replace('5', "4")).await,
        Reason::CredentialInvalid
    );
    // Both rows have our digest now: the slow one is not asked for again.
    let rows = on
        .store
        .list_credentials(&CredentialFilter::default(), &Page::first(10))
        .await;
    let used: Vec<_> = rows
        .expect("rows")
        .into_iter()
        .filter(|row| row.keyed_digest.is_some())
        .map(|row| row.id.to_string())
        .collect();
    assert_eq!(used, ["homechat-token-7", "homechat-token-12"]);
}

#[tokio::test]
async fn thingsboards_values_are_digested_and_its_owners_made() {
    let folder = Folder::new();
    let on = instance(&folder).await;
    let key = format!("tb_{}", URL_SAFE_NO_PAD.encode([7; 64]));
    let admin_key = format!("tb_{}", URL_SAFE_NO_PAD.encode([8; 64]));
    let keys = format!(
        "{{\"id\":\"k1\",\"created_time\":1700000000000,\"tenant_id\":\"t1\",\"user_id\":\"u1\",\"authority\":\"CUSTOMER_USER\",\
         \"description\":\"ci\",\"enabled\":true,\"expiration_time\":0,\"value\":\"{key}\"}}\n\
         {{\"id\":\"k2\",\"tenant_id\":\"13814000-1dd2-11b2-8080-808080808080\",\"user_id\":\"u2\",\"authority\":\"SYS_ADMIN\",\"value\":\"{admin_key}\"}}\n\
         {{\"id\":\"k3\",\"user_id\":\"u1\",\"value\":\"tb_short\"}}\n"
    );
    let wanted = of(Format::ThingsBoard);
    let (report, refusals) = import(&on, &wanted, &keys).await;
    assert_eq!((report.credentials, report.principals, report.tenants), (1, 1, 1));
    assert!(
        matches!(&refusals[..], [(2, why), (3, form)]
            if why.contains("--administrators") && form.contains("value: no API token")),
        "{refusals:?}"
    );
    let who = on
        .present(CredentialKind::ApiToken, &key)
        .await
        .expect("comes in");
    assert_eq!(who.identity().tenant.as_ref().map(|t| t.as_str()), Some("t1"));
    assert_eq!(who.identity().roles[0].as_str(), "CUSTOMER_USER");

    let devices = "\
id,credentials_type,credentials_id,credentials_value,device_id,device_name,tenant_id,customer_id\n\
c1,ACCESS_TOKEN,A1_TEST_TOKEN,,d1,Thermostat,t1,13814000-1dd2-11b2-8080-808080808080\n\
c2,MQTT_BASIC,0a1b,\"{\"\"clientId\"\":\"\"c\"\",\"\"userName\"\":\"\"pump\"\",\"\"password\"\":\"\"hunter2 hunter2\"\"}\",d2,Pump,t1,cu1\n\
c3,MQTT_BASIC,0a1c,\"{\"\"clientId\"\":\"\"c\"\"}\",d3,Fan,t1,\n\
c4,X509_CERTIFICATE,5e884898,MIIB,d4,Lock,t1,\n";
    let (report, refusals) = import(&on, &wanted, devices).await;
    assert_eq!((report.credentials, report.customers), (2, 1));
    assert_eq!(refusals.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 5]);
    assert!(!format!("{refusals:?}").contains("hunter2"));
    let who = on.present(CredentialKind::DeviceToken, "A1_TEST_TOKEN").await;
    assert_eq!(who.expect("comes in").identity().principal.as_str(), "d1");
    let who = on
        .present(CredentialKind::Basic, &STANDARD.encode("pump:hunter2 hunter2"))
        .await;
    let customer = who.expect("comes in").identity().customer.clone();
    assert_eq!(customer.expect("a customer").as_str(), "cu1");
}

#[tokio::test]
async fn tagoios_tokens_keep_permission_and_end_and_plain_text_stays_nowhere() {
    let folder = Folder::new();
    let on = instance(&folder).await;
    let token = "5a16405f-b32c-4c91-ae39-cbb2caba18d8";
    let text = format!(
        "{{\"token\":\"{token}\",\"device_id\":\"dev1\",\"name\":\"default\",\"permission\":\"read\",\"expire_time\":\"never\",\"created_at\":\"2026-01-01T00:00:00.000Z\"}}\n\
         {{\"token\":\"at0123456789abcdef0123456789abcdef\",\"device_id\":\"dev1\",\"permission\":\"full\",\"expire_time\":\"1 month\",\"created_at\":\"2026-01-01T00:00:00.000Z\"}}\n\
         {{\"token\":\"{token}\",\"device_id\":\"dev2\"}}\n\
         {{\"token\":\"has space\",\"device_id\":\"dev2\"}}\n\
         {{\"device_id\":\"dev2\"}}\n\
         not json {token}\n"
    );
    let wanted = Import {
        tenant: Some(TenantId::parse("acme").expect("an id")),
        ..of(Format::TagoIo)
    };
    let dry = Import {
        trial: Trial::Dry,
        ..wanted.clone()
    };
    let (foretold, told) = import(&on, &dry, &text).await;
    assert_eq!((foretold.credentials, told.len()), (3, 3));
    assert!(
        on.store
            .tenant(&TenantId::parse("acme").expect("an id"))
            .await
            .expect("read")
            .is_none()
    );

    let (report, refusals) = import(&on, &wanted, &text).await;
    // The third row has the first one's token: the same credential, which is there already.
    assert_eq!((report.credentials, report.known, report.refused), (2, 1, 3));
    let told = format!("{refusals:?}");
    assert!(!told.contains(token) && !told.contains("has space"), "{told}");
    let who = on
        .present(CredentialKind::DeviceToken, token)
        .await
        .expect("comes in");
    let identity = who.identity();
    assert_eq!(identity.write_access, WriteAccess::Withheld);
    assert_eq!(identity.tenant.as_ref().map(|t| t.as_str()), Some("acme"));
    assert_eq!(
        refused(
            &on,
            CredentialKind::DeviceToken,
            "at0123456789abcdef0123456789abcdef"
        )
        .await,
        Reason::CredentialExpired
    );
    on.store.close().await;
    let mut content = Vec::new();
    for file in std::fs::read_dir(folder.path()).expect("a folder") {
        let path = file.expect("a file").path();
        if path.is_file() {
            content.extend(std::fs::read(path).expect("readable"));
        }
    }
    assert!(content.windows(4).any(|w| w == b"acme"));
    assert!(!content.windows(token.len()).any(|w| w == token.as_bytes()));
}

#[tokio::test]
async fn digests_of_any_maker_come_in_as_json_lines() {
    let folder = Folder::new();
    let on = instance(&folder).await;
    let sha2 = hex::encode(sha256(b"device-one"));
    let sha3 = portable_digest::sha3_text(b"device-two");
    let text = format!(
        "{{\"type\":\"doorward\",\"version\":1,\"at\":0}}\n\
         {{\"type\":\"principal\",\"id\":\"d\",\"kind\":\"device\",\"name\":\"d\",\"enabled\":true,\"created_at\":0}}\n\
         {{\"type\":\"credential\",\"id\":\"c1\",\"kind\":\"device_token\",\"principal\":\"d\",\"name\":\"\",\"created_at\":0,\"digest\":\"sha256:{sha2}\"}}\n\
         {{\"type\":\"credential\",\"id\":\"c2\",\"kind\":\"device_token\",\"principal\":\"d\",\"name\":\"\",\"created_at\":0,\"digest\":\"{sha3}\"}}\n\
         {{\"type\":\"credential\",\"id\":\"c3\",\"kind\":\"device_token\",\"principal\":\"nobody\",\"name\":\"\",\"created_at\":0,\"digest\":\"sha256:{}\"}}\n\
         {{\"type\":\"credential\",\"id\":\"c4\",\"kind\":\"basic\",\"principal\":\"d\",\"name\":\"\",\"created_at\":0,\"public_id\":\"u\",\"digest\":\"sha256:{sha2}\"}}\n\
         {{\"type\":\"credential\",\"id\":\"c5\",\"kind\":\"device_token\",\"principal\":\"d\",\"name\":\"\",\"created_at\":0,\"keyed_digest\":{{\"key\":\"elsewhere\",\"digest\":\"{sha2}\"}}}}\n\
         {{\"type\":\"credential\",\"id\":\"c6\",\"kind\":\"device_token\",\"principal\":\"d\",\"name\":\"\",\"created_at\":0,\"secret\":\"device-one\"}}\n\
         {{\"type\":\"principal\",\"id\":\"root\",\"kind\":\"service\",\"name\":\"r\",\"enabled\":true,\"created_at\":0,\"roles\":[\"SYS_ADMIN\"]}}\n\
         {{\"type\":\"doorward\",\"version\":2,\"at\":0}}\n",
        hex::encode(sha256(b"x")),
    );
    let (report, refusals) = import(&on, &of(Format::Jsonl), &text).await;
    assert_eq!((report.credentials, report.principals), (2, 1));
    let lines: Vec<_> = refusals.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [6, 7, 8, 9, 10, 5], "those the store refuses come last");
    let all = format!("{refusals:?}");
    for why in [
        "bcrypt digest",
        "does not hold",
        "unknown field `secret`",
        "--administrators",
        "expected 1",
        "is not there",
    ] {
        assert!(all.contains(why), "{why}: {all}");
    }
    for token in ["device-one", "device-two", "device-one"] {
        let who = on
            .present(CredentialKind::DeviceToken, token)
            .await
            .expect("comes in");
        assert_eq!(who.identity().principal_kind, PrincipalKind::Device);
    }
}

#[tokio::test]
async fn a_run_that_ended_early_goes_on_where_it_was() {
    let folder = Folder::new();
    let on = instance(&folder).await;
    let mut text = String::new();
    for n in 0..100 {
        text.push_str(&format!(
            "{{\"token\":\"token-{n}\",\"device_id\":\"dev-{}\"}}\n",
            n % 7
        ));
        if n == 89 {
            text.push_str("broken\n");
        }
    }
    // It ends while the third batch is read.
    let mut broken = Notes {
        breaks_at: Some(91),
        ..Notes::default()
    };
    let wanted = of(Format::TagoIo);
    on.accounts
        .import(Cursor::new(text.as_bytes()), &wanted, &actor(), &mut broken)
        .await
        .expect_err("ended");
    assert_eq!(broken.reached.len(), 2);

    let (report, refusals) = import(&on, &wanted, &text).await;
    assert_eq!(
        (
            report.credentials,
            report.known,
            report.refused,
            report.resumed_at
        ),
        (100, 0, 1, 80)
    );
    assert_eq!(refusals.len(), 1);
    let (again, _) = import(&on, &wanted, &text).await;
    assert_eq!(
        (again.credentials, again.resumed_at),
        (100, 101),
        "nothing is left to do"
    );
    let anew = Import {
        begin: Begin::Anew,
        ..wanted
    };
    let (anew, _) = import(&on, &anew, &text).await;
    assert_eq!((anew.credentials, anew.known), (0, 100), "what is there stays");
    assert_eq!(on.store.verify_audit().await.expect("read"), None);
}
