"""Secrets in the forms in which logs hold them; `{}` is where the secret stands."""

import base64
import json
from urllib.parse import quote

SECRET = "Zq9kkkkkWkkkkkkkX7"


def _basic(secret: str) -> str:
    return base64.b64encode(f"bob:{secret}".encode()).decode()


#: With a secret of no looks of its own.
NAMED = [
    "password={}", "password: {}", "'password': '{}'", '"adminPass": "{}"', "X-Auth-Token: {}", "u'passwd': u'{}'",
    "curl -H 'X-Subject-Token: {}'", 'curl -H "X-Auth-Key: {}" http://h', "--os-password {} server list", "pwd={}",
    "curl -u admin:{} http://h", "curl --user admin:{} http://h", "mysql -u root -p{} -e x", "mysql --password={}",
    "sshpass -p '{}' ssh h", "ipmitool -H h -U admin -P {} power on", "snmpwalk -v2c -c {} h", "redis-cli -a {} ping",
    "Authorization: Bearer {}", 'Authorization: Digest username="u", response="{}"', "http_authorization={}",
    "Proxy-Authorization: Bearer {}", "'HTTP_X_AUTH_TOKEN': '{}'", "Cookie: a=b; sid={}", "Set-Cookie: S={}; Path=/",
    'Cookie: a="b"; sid={}', "('X-Auth-Token', '{}')", '["X-Auth-Token", "{}"]', "'X-Subject-Token': ['{}']",
    "mysql+pymysql://nova:{}@10.0.0.1/nova", "rabbit://u1:{}@h1:5672,u2:{}@h2:5672//", "redis://:{}@h:6379/0",
    "mongodb+srv://u:{}@c.example.org/x", "https:\\/\\/bob:{}@h\\/x", "mysql://nova:a@{}@h/x", "mysql://nova:a/{}@h/x",
    "requirepass {}", "masterauth {}", '"AUTH" "{}"', "AUTH default {}", "GRANT ALL IDENTIFIED BY '{}'",
    "IDENTIFIED WITH mysql_native_password BY '{}'", "ALTER USER x WITH PASSWORD '{}'", "SET PASSWORD = PASSWORD('{}')",
    "host=h user=u password={} dbname=d", "Server=h;Uid=u;Pwd={};", "AccountName=x;AccountKey={};",
    "GET /x?api_key={}&b=c", "GET /x?key={}&b=c", "GET /x?X-Amz-Signature={}", "GET /x?sv=1&sig={}", "?token={} HTTP",
    "GET /x?temp_url_sig={}&temp_url_expires=1", "X-Amz-Security-Token={}", "username=u&password={}",
    "aws_secret_access_key = {}", "client_secret=[{}]", "application_credential_secret={}", "psk={}", "hmac_key={}",
    "export OS_TOKEN={}", "PGPASSWORD={} psql", "MYSQL_PWD={} mysql", "-passin pass:{}", "memcache_secret_key = {}",
    "password: |\n  {}\n  more\nother: x", "password: >-\n    {}\nother: x", "password =\n   {}",
    "- name: DB_PASSWORD\n  value: {}", "kind: Secret\ndata:\n  foo: {}\n", "<password>{}</password>",
    "<user password='{}'/>", "<secret type='x'>{}</secret>", "using password {} for x", "the password is {}",
    "Invalid token {}", "token '{}' is expired", "Credential(password='{}')", 'Password("{}")', "map[password:{} u:x]",
    ':password=>"{}"', "'password' => '{}'", "password => {}", "b'password': b'{}'", 'password="{}',
    "'password': {'a': {'b': '{}'}}", "secrets: [{'a': ['x', '{}']}, '{}']", "password='it\\'s {}'",
    "/vnc_auto.html?path=%3Ftoken%3D{}", "token%3D{}%26b", "passcode: {}", "otp={}",
]  # fmt: skip


def carriers(secret: str) -> list[str]:
    """Each form with this secret in it."""
    made = [form.replace("{}", secret) for form in NAMED]
    values = {"password": secret}
    made += [
        json.dumps({"a": values}), json.dumps({"a": json.dumps(values)}), 
        json.dumps(json.dumps({"a": json.dumps(values)})),
        f'{{"\\u0070assword": "{secret}"}}', f'{{"url":"http://h?a=b\\u0026token={secret}"}}',
        json.dumps({"key": "http.request.header.authorization", "value": {"stringValue": secret}}),
        json.dumps({"name": "DB_PASSWORD", "value": secret}), json.dumps({"kind": "Secret", "data": {"x": secret}}),
        json.dumps({"Authorization": f"Basic {secret}"}), quote(json.dumps(values)), quote(f"mysql://u:{secret}@h/x"),
        quote(quote(f"token={secret}")),
    ]  # fmt: skip
    return made


#: Secrets by their looks: (text, what must not be left of it).
LOOKS = [
    ("gAAAAABlX" + "k3Jd_9-Qz" * 12, "k3Jd_9-Qz"),
    ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4", "eyJzdWIi"),
    ("AQCvCbtToC6MDhAATtuT70Sl+DymPCfDSsyV4w==", "CvCbtToC"),
    ("ghp_aB3dE5gH7jK9mN1pQ3sT5vW7xY9zA1bC3dE5", "aB3dE5gH"),
    ("glpat-aB3dE5gH7jK9mN1pQ3sT", "aB3dE5gH"),
    ("xoxb-123456789012-123456789012-abcdefABCDEF", "abcdefABCDEF"),
    ("AIzaSyD3dE5gH7jK9mN1pQ3sT5vW7xY9zA1bC3d", "dE5gH7"),
    ("hvs.CAESIaB3dE5gH7jK9mN1pQ3sT5vW7", "aB3dE5gH"),
    ("sk-proj-aB3dE5gH7jK9mN1pQ3sT5vW7", "aB3dE5gH"),
    ("sk_live_aB3dE5gH7jK9mN1pQ3sT5vW7", "aB3dE5gH"),
    ("root:$6$saltsalt$aB3dE5gH7jK9mN1pQ3sT5vW7:18000:0", "aB3dE5gH"),
    ("$2b$12$aB3dE5gH7jK9mN1pQ3sT5vW7aB3dE5gH7jK9mN1pQ3sT5vW7aB3dE", "aB3dE5gH"),
    (f"auth Basic {_basic(SECRET)}", _basic(SECRET)[4:20]),
    (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAAEbm9u=\n-----END OPENSSH PRIVATE KEY-----",
        "AAAAEbm9u",
    ),
]
