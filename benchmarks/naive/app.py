"""Reference implementation `naive`: returns the same list. It uses each library as the library's introduction shows.

Chalice, boto3.resource, `requests` without a session, Powertools' three decorators, two table reads per request, pages
one after the other.
"""

import hashlib
import hmac
import json
import os

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from chalice import BadRequestError, Chalice, ConvertToMiddleware, ForbiddenError, Response, UnauthorizedError

app = Chalice(app_name="naive", configure_logs=False)
logger = Logger(service="naive")
tracer = Tracer(service="naive")
metrics = Metrics(service="naive", namespace="Naive")
app.register_middleware(ConvertToMiddleware(logger.inject_lambda_context(clear_state=True)))
app.register_middleware(ConvertToMiddleware(tracer.capture_lambda_handler(capture_response=False)))
app.register_middleware(ConvertToMiddleware(metrics.log_metrics(capture_cold_start_metric=True)))

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
secret = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET_NAME"])["SecretString"])


def sign(text):
    """Return the signature of a session."""
    return hmac.new(secret["session_keys"][0].encode(), text.encode(), hashlib.sha256).hexdigest()


def verify_session(token):
    """Return app_id and open_id of a session token: `<app_id>.<open_id>.<hmac>`."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature, sign(signed)):
        raise UnauthorizedError("invalid signature")
    return signed.split(".", 1)


@app.route("/v1/sessions", methods=["POST"])
def log_in():
    """Exchange a code for a session token."""
    body = app.current_request.json_body
    response = requests.post(
        os.environ["DOUYIN_LOGIN_API"] + "/api/apps/v2/jscode2session",
        json={"appid": body["app_id"], "secret": secret["apps"][body["app_id"]], "code": body["code"]},
        timeout=5,
    ).json()
    if response["err_no"]:
        raise UnauthorizedError("code refused")
    signed = f"{body['app_id']}.{response['data']['openid']}"
    return {"token": f"{signed}.{sign(signed)}", "expires_in": 7200}


@app.route("/v1/merchants/{account_id}/stores/{poi_id}/certificates")
def list_certificates(account_id, poi_id):
    """List the usable certificates."""
    token = app.current_request.headers.get("authorization", "").removeprefix("Bearer ")
    app_id, open_id = verify_session(token)
    merchant = table.get_item(Key={"pk": f"MERCHANT#{account_id}"}).get("Item")
    if merchant is None:
        raise BadRequestError("merchant not found")
    if merchant["app_id"] != app_id:
        raise ForbiddenError("wrong app")
    access_token = table.get_item(Key={"pk": f"TOKEN#{app_id}"})["Item"]["access_token"]
    certificates, page, total = [], 1, None
    while total is None or ((page - 1) * 50 < total and page <= 4):
        response = requests.post(
            os.environ["DOUYIN_OPEN_API"] + "/api/trade/v2/fulfillment/query_user_certificates/",
            headers={"access-token": access_token, "Rpc-Transit-Life-Account": merchant["life_account_id"]},
            json={"account_id": account_id, "open_id": open_id, "poi_id": poi_id, "page": page, "page_size": 50,
                  "page_dimension": 1},
            timeout=5,
        ).json()  # fmt: skip
        if response["extra"]["error_code"] or response["data"]["error_code"]:
            raise BadRequestError("error code of the platform")
        total = response["data"]["total"]
        for order in response["data"]["orders"]:
            if order["can_use"] is not True:
                continue
            for certificate in order["certificates"]:
                sku, amount = certificate["sku_info"], certificate["amount"]
                certificates.append(
                    {
                        "certificate_id": certificate["certificate_id"],
                        "order_id": order["order_id"],
                        "sku_id": sku["sku_id"],
                        "title": sku["title"],
                        "kind": {1: "groupon", 2: "voucher", 3: "times_card"}.get(sku["groupon_type"], "other"),
                        "pay_amount": amount["pay_amount"],
                        "original_amount": amount["original_amount"],
                        "market_price": sku["market_price"],
                        "start_time": certificate["start_time"],
                        "expire_time": certificate["expire_time"],
                        "code_tail": certificate["code"][-4:],
                    }
                )
        page += 1
    certificates.sort(key=lambda c: (c["expire_time"], c["certificate_id"]))
    metrics.add_metric("CertificatesReturned", MetricUnit.Count, len(certificates))
    logger.info("listed", account_id=account_id, poi_id=poi_id, certificates=len(certificates))
    view = {"account_id": account_id, "poi_id": poi_id, "certificates": certificates}
    return Response(json.dumps(view, ensure_ascii=False), headers={"Content-Type": "application/json; charset=utf-8"})
