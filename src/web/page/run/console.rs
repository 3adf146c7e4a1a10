//! Where AWS's own consoles show a task: addresses that are made of its ARN alone.

/// The account in the ARNs of the local endpoint: nobody's.
const LOCAL_ACCOUNT: &str = "000000000000";

/// What the ARN of a task says. Source: Amazon ECS Developer Guide, "Amazon Resource Names (ARNs) and IDs".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    domain: &'static str,
    region: &'a str,
    cluster: &'a str,
    task: &'a str,
}

impl<'a> Place<'a> {
    /// None for what no console shows: a task of the local endpoint, an ARN without its cluster, or what is none.
    pub(super) fn of(arn: &'a str) -> Option<Place<'a>> {
        let mut parts = arn.splitn(6, ':');
        let (Some("arn"), Some(partition), Some("ecs")) = (parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let (cluster, task) = resource.strip_prefix("task/")?.split_once('/')?;
        let domain = match partition {
            "aws" => "console.aws.amazon.com",
            "aws-cn" => "console.amazonaws.cn",
            "aws-us-gov" => "console.amazonaws-us-gov.com",
            _ => return None,
        };
        let is_plain = [region, cluster, task].into_iter().all(is_plain);
        // A region is a part of a host's name.
        let is_real = account != LOCAL_ACCOUNT && !region.contains('_');
        (is_plain && is_real).then_some(Place { domain, region, cluster, task })
    }

    /// The task in the console of ECS.
    pub(super) fn task(&self) -> String {
        self.tab("configuration")
    }

    /// Its logs there: CloudWatch's, of each container that writes to it.
    pub(super) fn logs(&self) -> String {
        self.tab("logs")
    }

    fn tab(&self, tab: &str) -> String {
        let Place { domain, region, cluster, task } = self;
        format!("https://{region}.{domain}/ecs/v2/clusters/{cluster}/tasks/{task}/{tab}?region={region}")
    }

    /// A log stream in the console of CloudWatch; `region` is that of the log group, if it is not the task's.
    pub(super) fn stream(&self, region: Option<&str>, group: &str, stream: &str) -> Option<String> {
        let Place { domain, .. } = self;
        let region = region.unwrap_or(self.region);
        let (group, stream) = (in_fragment(group), in_fragment(stream));
        is_plain(region).then(|| {
            format!(
                "https://{region}.{domain}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}/log-events/{stream}"
            )
        })
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The console escapes twice, and writes `$` for the second `%`.
fn in_fragment(text: &str) -> String {
    let escaped = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("$25{byte:02X}")
        }
    };
    text.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_shown_by_the_console_of_its_partition_and_region() {
        let cases = [
            ("arn:aws:ecs:eu-central-1:123456789012:task/main/ab12", "https://eu-central-1.console.aws.amazon.com/"),
            ("arn:aws-cn:ecs:cn-north-1:123456789012:task/main/ab12", "https://cn-north-1.console.amazonaws.cn/"),
            (
                "arn:aws-us-gov:ecs:us-gov-west-1:123456789012:task/main/ab12",
                "https://us-gov-west-1.console.amazonaws-us-gov.com/",
            ),
        ];
        for (arn, console) in cases {
            let region = arn.split(':').nth(3).unwrap();
            let place = Place::of(arn).unwrap();
            let below = format!("{console}ecs/v2/clusters/main/tasks/ab12");
            assert_eq!(place.task(), format!("{below}/configuration?region={region}"));
            assert_eq!(place.logs(), format!("{below}/logs?region={region}"));
        }
    }

    #[test]
    fn what_no_console_shows_has_no_address() {
        for arn in [
            "arn:aws:ecs:us-east-1:000000000000:task/main/ab12",
            "arn:aws:ecs:us-east-1:123456789012:task/ab12",
            "arn:aws:ecs:us-east-1:123456789012:service/main/ab12",
            "arn:aws:ecs:evil.example/:123456789012:task/main/ab12",
            "arn:aws:ecs:us-east-1:123456789012:task/main/ab12?x=\"",
            "arn:aws:ecs::123456789012:task/main/ab12",
            "arn:aws-moon:ecs:us-east-1:123456789012:task/main/ab12",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(Place::of(arn), None, "{arn}");
        }
    }

    #[test]
    fn a_log_stream_is_escaped_as_the_console_does() {
        let place = Place::of("arn:aws:ecs:eu-central-1:123456789012:task/main/ab12").unwrap();
        assert_eq!(
            place.stream(Some("eu-west-1"), "/ecs/app", "app/app/ab12").unwrap(),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Fecs$252Fapp/log-events/app$252Fapp$252Fab12"
        );
        assert_eq!(place.stream(Some("evil.example/"), "g", "s"), None);
        assert!(place.stream(None, "g", "s").unwrap().contains("region=eu-central-1"));
    }
}
