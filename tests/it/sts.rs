//! A token service on loopback: it speaks STS's protocol (a form in, XML out), notes each AssumeRole, and hands out one key
//! for each role, so that what was signed with it can be told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::tap::{header, signer};

/// One AssumeRole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assumed {
    /// `KEY/REGION/SERVICE` of who asked.
    pub(crate) signed: String,
    pub(crate) role_arn: String,
    pub(crate) external_id: Option<String>,
    pub(crate) session: String,
}

pub(crate) struct Sts {
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Vec<Assumed>,
    /// The external id that its trust policy asks for; any one if there is none.
    wants: Option<String>,
}

impl Sts {
    pub(crate) fn start() -> Sts {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let of_server = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of_server);
                thread::spawn(move || serve(client, &shared));
            }
        });
        Sts { url, shared }
    }

    /// Refuses from now on whoever brings no such external id.
    pub(crate) fn want(&self, external_id: &str) {
        self.shared.lock().expect("whole").wants = Some(external_id.to_owned());
    }

    pub(crate) fn asked(&self) -> Vec<Assumed> {
        self.shared.lock().expect("whole").asked.clone()
    }
}

/// The access key that is handed out for a role.
pub(crate) fn key_of(role_arn: &str) -> String {
    format!("KEY-{}", role_arn.rsplit('/').next().unwrap_or_default())
}

fn serve(mut client: TcpStream, shared: &Mutex<Shared>) {
    let mut waiting = Vec::new();
    let mut piece = [0; 16_384];
    while let Ok(length @ 1..) = client.read(&mut piece) {
        waiting.extend_from_slice(&piece[..length]);
        let Some(head_end) = waiting.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
            continue;
        };
        let head = String::from_utf8_lossy(&waiting[..head_end]).into_owned();
        let expected: usize = header(&head, "content-length").map_or(0, |text| text.parse().expect("a length"));
        let Some(body) = waiting.get(head_end..head_end + expected) else { continue };
        let (status, answer) = answer(&head, &String::from_utf8_lossy(body), shared);
        waiting.drain(..head_end + expected);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n", answer.len());
        if client.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(head: &str, body: &str, shared: &Mutex<Shared>) -> (u16, String) {
    let field = |name: &str| {
        let fields = body.split('&').filter_map(|pair| pair.split_once('='));
        fields.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).next()
    };
    assert_eq!(field("Action").as_deref(), Some("AssumeRole"), "{body}");
    let asked = Assumed {
        signed: signer(head).unwrap_or_default(),
        role_arn: field("RoleArn").unwrap_or_default(),
        external_id: field("ExternalId"),
        session: field("RoleSessionName").unwrap_or_default(),
    };
    let mut shared = shared.lock().expect("whole");
    shared.asked.push(asked.clone());
    if shared.wants.is_some() && shared.wants != asked.external_id {
        let error = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                     <Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>\
                     <RequestId>1</RequestId></ErrorResponse>";
        return (403, error.to_owned());
    }
    let key = key_of(&asked.role_arn);
    let granted = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser>\
         <Arn>arn:aws:sts::123456789012:assumed-role/x/y</Arn><AssumedRoleId>X:y</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token\
         </SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>"
    );
    (200, granted)
}

/// A value of a form.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().expect("two digits"), rest.next().expect("two digits")];
        let digits = std::str::from_utf8(&digits).expect("ASCII");
        bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
    }
    String::from_utf8(bytes).expect("UTF-8")
}
