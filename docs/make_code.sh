#!/bin/sh
# Write the 小程序码 of a store to <poi_id>.png: docs/make_code.sh <app_id> <poi_id>
#
# It needs REDEEM_STAGE and the policy token-reader. Another account: '<poi_id>&account_id=…'. Pages in a subpackage: change path.
# The file is a picture, or JSON that tells an error (not tried). The token is in no argument, so no other process can read it.
set -e
{
    printf 'access-token: '
    aws dynamodb get-item --table-name "douyin-redemption-$REDEEM_STAGE" --consistent-read \
        --key "{\"pk\": {\"S\": \"TOKEN#$1\"}}" --projection-expression 'access_token, expires_at' \
        --query Item.access_token.S --output text
} | curl -sS -H @- -H 'content-type: application/json' -o "$2.png" \
    -d "{\"app_name\": \"douyin\", \"appid\": \"$1\", \"path\": \"coupons/pages/certificates/certificates?poi_id=$2\"}" \
    https://open.douyin.com/api/apps/v1/qrcode/create/
