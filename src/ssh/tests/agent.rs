use std::time::Duration;

use crate::control::{FailureKind, Report, Request};

use super::server::{Behaviour, Server};
use super::*;

/// Stands in for the agent: says hello, echoes what it hears as log reports, copies for `pipe`, leaves on `bye`.
const FAKE: &str = r#"#!/bin/sh
case $1 in
pipe) exec cat;;
esac
printf '\n\036MURDER1 {"t":"hello","v":1,"version":"0.1.0","pid":%s,"hostname":"h","uid":0,"clock_ms":5}\n' $$
echo "from stderr $SSH_CONNECTION" >&2
while read -r line; do
  case $line in
    *bye*) printf '{"t":"bye","left":[]}\n'; exit 0;;
    *) printf '{"t":"log","level":"info","source":"murder","message":"heard"}\n';;
  esac
done
"#;

pub(super) fn fake_agents(script: &str) -> AgentBinaries {
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    AgentBinaries::none().with([(platform, script.as_bytes().to_vec())]).unwrap()
}

pub(super) fn fake() -> AgentBinaries {
    fake_agents(FAKE)
}

async fn reached(behaviour: Behaviour) -> (User, Server, Session) {
    let user = User::new();
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..behaviour };
    let server = Server::start(behaviour).await;
    let session = user.client().connect(&user.target(server.port)).await.unwrap();
    (user, server, session)
}

/// Everything below the host's cache, without the hash.
fn left_there(server: &Server) -> Vec<String> {
    let mut left = Vec::new();
    let mut folders = vec![server.home().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                left.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    left
}

#[tokio::test]
async fn an_agent_is_sent_once_and_found_the_next_time() {
    let (_user, server, session) = reached(Behaviour::default()).await;
    let mut agent = session.launch(&fake()).await.unwrap();
    assert!(agent.uploaded_bytes > 0);
    assert_eq!(agent.hello.hostname, "h");
    agent.send(&Request::Stage).await.unwrap();
    let (mut heard, mut words) = (false, false);
    while !(heard && words) {
        match agent.next().await.unwrap().unwrap() {
            AgentSays::Report(Report::Log { message, .. }) => heard = message == "heard",
            AgentSays::Words(line) => words = line == "from stderr 127.0.0.1 1 127.0.0.1 2",
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(agent.stderr(), ["from stderr 127.0.0.1 1 127.0.0.1 2"]);
    assert_eq!(agent.leave(false).await, Leave { left: Some(vec![]), exit: Exit::Code(0) });

    let again = session.launch(&fake()).await.unwrap();
    assert_eq!(again.uploaded_bytes, 0);
    assert_eq!(left_there(&server), ["agent"]);
    session.close().await;
}

#[tokio::test]
async fn an_agent_that_is_dropped_sees_the_end_of_its_stdin() {
    let (_user, server, session) = reached(Behaviour::default()).await;
    let script = FAKE.to_owned() + "\necho gone > $HOME/gone\n";
    let agent = session.launch(&fake_agents(&script)).await.unwrap();
    drop(agent);
    let gone = server.home().join("gone");
    for _ in 0..500 {
        if gone.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the agent lives on");
}

#[tokio::test]
async fn noise_of_login_shells_is_no_obstacle() {
    let noise = "Welcome to the machine\n{\"t\":\"hello\"}\nno newline at the end";
    let (_user, _server, session) = reached(Behaviour { noise, ..Behaviour::default() }).await;
    let agent = session.launch(&fake()).await.unwrap();
    assert!(agent.uploaded_bytes > 0);
}

#[tokio::test]
async fn any_login_shell_will_do() {
    for shell in ["bash", "dash", "busybox", "zsh", "fish", "tcsh", "ksh", "mksh"] {
        let Some(shell) = installed(shell) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let shell = if shell.ends_with("busybox") {
            let ash = folder.path().join("ash");
            std::os::unix::fs::symlink(shell, &ash).unwrap();
            ash
        } else {
            shell
        };
        let behaviour = Behaviour { shell, ..Behaviour::default() };
        let name = behaviour.shell.display().to_string();
        let (_user, _server, session) = reached(behaviour).await;
        let agent = session.launch(&fake()).await;
        assert!(agent.is_ok(), "{name}: {}", agent.err().unwrap());
        assert!(session.launch(&fake()).await.is_ok_and(|agent| agent.uploaded_bytes == 0), "{name}");
    }
}

#[tokio::test]
async fn a_shell_that_is_none_gives_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let nologin = folder.path().join("nologin");
    std::fs::write(&nologin, "#!/bin/sh\necho This account is currently not available.\nexit 1\n").unwrap();
    set_mode(&nologin, 0o755);
    let (_user, _server, session) = reached(Behaviour { shell: nologin, ..Behaviour::default() }).await;
    let error = session.launch(&fake()).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Launch);
    assert!(error.to_string().contains("exit 1: This account is currently not available."), "{error}");
    assert_eq!(error.detail(), ["This account is currently not available."]);
}

#[tokio::test]
async fn a_damaged_agent_is_replaced_and_a_foreign_file_never_started() {
    let (_user, server, session) = reached(Behaviour::default()).await;
    drop(session.launch(&fake()).await.unwrap());
    let cache = server.home().join(".cache/murder");
    let stored = std::fs::read_dir(&cache).unwrap().flatten().next().unwrap().path().join("agent");
    std::fs::write(&stored, "#!/bin/sh\ntouch $HOME/started\n").unwrap();
    set_mode(&stored, 0o700);
    assert!(session.launch(&fake()).await.unwrap().uploaded_bytes > 0);
    assert!(!server.home().join("started").exists());
}

#[tokio::test]
async fn a_system_without_an_agent_is_arch_and_named() {
    let (_user, _server, session) = reached(Behaviour::default()).await;
    let agents = AgentBinaries::none().with([("linux-s390x".to_owned(), b"x".to_vec())]).unwrap();
    let error = session.launch(&agents).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Arch);
    assert!(error.to_string().contains("there are: linux-s390x"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_passed_over() {
    let user = User::new();
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..Behaviour::default() };
    let server = Server::start(behaviour).await;
    // Root may write anywhere: a file stands where the folder should be.
    let root = user.path("file");
    std::fs::write(&root, "").unwrap();
    let options = ClientOptions { agent_root: Some(root.display().to_string()), ..user.options() };
    let session = Client::new(options).unwrap().connect(&user.target(server.port)).await.unwrap();
    assert!(session.launch(&fake()).await.unwrap().uploaded_bytes > 0);
    assert_eq!(left_there(&server), ["agent"]);
}

#[tokio::test]
async fn the_given_folder_is_used_first() {
    let user = User::new();
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..Behaviour::default() };
    let server = Server::start(behaviour).await;
    let root = tempfile::tempdir().unwrap();
    let options = ClientOptions { agent_root: Some(root.path().display().to_string()), ..user.options() };
    let session = Client::new(options).unwrap().connect(&user.target(server.port)).await.unwrap();
    session.launch(&fake()).await.unwrap();
    assert!(root.path().join("murder").exists());
    assert!(left_there(&server).is_empty());
}

#[tokio::test]
async fn versions_that_nobody_used_for_a_month_go_and_others_stay() {
    let (_user, server, session) = reached(Behaviour::default()).await;
    drop(session.launch(&fake()).await.unwrap());
    let cache = server.home().join(".cache/murder");
    let month = Duration::from_secs(40 * 24 * 3600);
    for (name, age) in [("old", month), ("young", Duration::ZERO)] {
        std::fs::create_dir(cache.join(name)).unwrap();
        std::fs::write(cache.join(name).join("agent"), "x").unwrap();
        let folder = std::fs::File::open(cache.join(name)).unwrap();
        folder.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    let agent = session.launch(&fake()).await.unwrap();
    assert_eq!(agent.uploaded_bytes, 0);
    for _ in 0..500 {
        if !cache.join("old").exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!cache.join("old").exists() && cache.join("young").exists());
}

#[tokio::test]
async fn a_command_that_says_nothing_and_ends_is_told_with_its_exit() {
    let (_user, _server, session) = reached(Behaviour::default()).await;
    let error = session.launch(&fake_agents("#!/bin/sh\necho oh no >&2; exit 7\n")).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Launch);
    assert!(error.to_string().contains("exit 7: oh no"), "{error}");
}

#[tokio::test]
async fn sudo_is_used_and_its_password_asked_once() {
    let sudo = "#!/bin/sh\ncase $1 in -n) echo sudo: a password is required >&2; exit 1;; esac\n\
                read -r password\n[ \"$password\" = sesame ] || { echo sudo: 1 incorrect password attempt >&2; exit 1; }\n\
                while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n";
    let tools = tempfile::tempdir().unwrap();
    std::fs::write(tools.path().join("sudo"), sudo).unwrap();
    set_mode(&tools.path().join("sudo"), 0o755);
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let user = User::answering(&["sesame"]);
    let behaviour = Behaviour {
        keys: vec![user.key.public_key().clone()],
        environment: vec![("PATH", path)],
        ..Behaviour::default()
    };
    let server = Server::start(behaviour).await;
    let client = user.client();
    for _ in 0..2 {
        let target = Target { become_sudo: true, ..user.target(server.port) };
        let session = client.connect(&target).await.unwrap();
        let mut agent = session.launch(&fake()).await.unwrap();
        agent.send(&Request::Stage).await.unwrap();
        while !matches!(agent.next().await.unwrap().unwrap(), AgentSays::Report(_)) {}
    }
    assert_eq!(user.prompts(), ["sudo password for deploy"]);
}

#[tokio::test]
async fn a_stream_to_loopback_goes_through_the_connection_or_through_the_agent() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for forwarding in [true, false] {
        let (_user, _server, session) = reached(Behaviour { forwarding, ..Behaviour::default() }).await;
        let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = echo.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = echo.accept().await {
                let (mut read, mut write) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        if !forwarding {
            let error = session.open_loopback(port).await.err().unwrap();
            assert!(error.to_string().contains("forbids forwarding"), "{error}");
        }
        let _agent = session.launch(&fake()).await.unwrap();
        // `pipe` of the stand-in is an echo by itself.
        let mut stream = session.open_loopback(port).await.unwrap();
        stream.write_all(b"through").await.unwrap();
        let mut back = [0; 7];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"through");
    }
}

#[tokio::test]
async fn an_agent_whose_connection_breaks_is_lost() {
    let (_user, server, session) = reached(Behaviour::default()).await;
    let mut agent = session.launch(&fake()).await.unwrap();
    session.close().await;
    drop(server);
    let error = loop {
        match agent.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a clean end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), FailureKind::Lost);
    agent.wait().await;
    // The writer may take one more before it hears of it.
    while agent.send(&Request::Stage).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
