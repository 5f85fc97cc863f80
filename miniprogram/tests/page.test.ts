/** Tests of the sample page's texts: card texts and store selection, from `dist`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate, Store } from "../src/client/client";
import type * as Rows from "../src/pages/certificates/rows";
import type * as Stores from "../src/pages/certificates/stores";
import { loadBuilt } from "./built";

const { countText, rowOf, yuan } = loadBuilt<typeof Rows>("pages/certificates/rows");
const { canSortByDistance, listedStores, onlyStore, storeHeader, storeRows } =
  loadBuilt<typeof Stores>("pages/certificates/stores");

/** 2026-11-24 23:30 in China. */
const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const HOUR = 3600;

function row(fields: Partial<Certificate>) {
  return rowOf({ certificate_id: "1", order_id: "2", kind: "groupon", ...fields }, NOW);
}

describe("a card", () => {
  test("shows only the kind if all optional fields are missing", () => {
    assert.deepEqual(row({}), {
      id: "1",
      kind: "groupon",
      kindText: "团购券",
      title: "团购券",
      headline: "",
      paid: "",
      worth: "",
      notes: [],
      expires: "长期有效",
      soon: "",
      code: "",
      label: "团购券，团购券，长期有效",
    });
  });

  test("names the kind", () => {
    const kinds: Certificate["kind"][] = ["groupon", "voucher", "times_card", "other"];
    assert.deepEqual(
      kinds.map((kind) => row({ kind }).kindText),
      ["团购券", "代金券", "次卡", "其他券"],
    );
    // A newer service may have more kinds.
    assert.equal(row({ kind: "subscription" as "other" }).kindText, "其他券");
  });

  test("marks the price as paid, and shows the market price only if it is higher", () => {
    const prices = (pay_amount?: number, market_price?: number) => {
      const { paid, worth } = row({ pay_amount, market_price } as Partial<Certificate>);
      return [paid, worth];
    };
    assert.deepEqual(prices(4499, 5000), ["已付 ¥44.99", "门市价 ¥50"]);
    assert.deepEqual(prices(4500, 4500), ["已付 ¥45", ""]);
    assert.deepEqual(prices(undefined, 5000), ["", "门市价 ¥50"]);
    assert.deepEqual(prices(0), ["已付 ¥0", ""]);
    assert.deepEqual([yuan(5), yuan(100), yuan(123456)], ["¥0.05", "¥1", "¥1234.56"]);
  });

  test("of a times card shows the remaining uses", () => {
    assert.equal(row({ times: { usable: 7, total: 10 } }).headline, "剩余 7 次，共 10 次");
    assert.equal(row({ times: { usable: 0 } }).headline, "剩余 0 次");
    assert.equal(row({ times: { total: 10 } }).headline, "");
  });

  test("of a voucher shows the range of its value, or its description", () => {
    assert.equal(row({ voucher: { min_amount: 8000, max_amount: 10000 } }).headline, "可抵 ¥80 至 ¥100");
    assert.equal(row({ voucher: { min_amount: 8000, max_amount: 8000 } }).headline, "可抵 ¥80");
    assert.equal(row({ voucher: { max_amount: 5050 } }).headline, "最高可抵 ¥50.50");
    assert.equal(row({ voucher: { min_amount: 5000 } }).headline, "至少可抵 ¥50");
    const described = row({ voucher: { description: "平日可抵100元" } });
    assert.deepEqual([described.headline, described.notes], ["", ["平日可抵100元"]]);
  });

  test("describes off-peak hours and refers to the staff for weekdays", () => {
    const note = (off_peak: NonNullable<Certificate["off_peak"]>) => row({ off_peak }).notes[0];
    assert.equal(note({ hours: [["14:00", "17:00"]] }), "错峰优惠：14点至17点");
    assert.equal(
      note({
        hours: [
          ["9:30", "11:00"],
          ["22:00", "02:00"],
        ],
      }),
      "错峰优惠：9点30分至11点、22点至次日2点",
    );
    assert.equal(
      note({ hours: [["14:00", "17:00"]], weekdays: [1, 2] }),
      "错峰优惠：14点至17点（限部分星期，请咨询店员）",
    );
    assert.equal(note({ weekdays: [0] }), "错峰优惠（限部分星期，请咨询店员）");
    assert.equal(note({ limit_type: 1 }), "错峰优惠，时段请咨询店员");
    assert.equal(note({ hours: [["晚市", "打烊"]] }), "错峰优惠：晚市至打烊");
  });

  test("shows the expiry date in China's time zone, and the days left if there are at most 7", () => {
    const expiry = (seconds: number) => {
      const { expires, soon } = row({ expire_time: seconds });
      return [expires, soon];
    };
    assert.deepEqual(expiry(NOW + HOUR / 4), ["有效期至 2026年11月24日", "今天到期"]);
    assert.deepEqual(expiry(NOW + HOUR), ["有效期至 2026年11月25日", "明天到期"]);
    assert.deepEqual(expiry(NOW + 7 * 24 * HOUR), ["有效期至 2026年12月1日", "还有 7 天"]);
    assert.deepEqual(expiry(NOW + 8 * 24 * HOUR), ["有效期至 2026年12月2日", ""]);
    assert.deepEqual(expiry(NOW - 24 * HOUR), ["有效期至 2026年11月23日", ""]);
  });

  test("notes the start time, a lock, a transfer and the code tail, without interpreting lock numbers", () => {
    assert.deepEqual(row({ start_time: NOW + HOUR }).notes, ["2026年11月25日 起可用"]);
    assert.deepEqual(row({ start_time: NOW - HOUR }).notes, []);
    assert.deepEqual(row({ lock: { status: 1, scene: 1 } }).notes, row({ lock: { status: 2, scene: 9 } }).notes);
    assert.deepEqual(row({ is_transfer_asset: true }).notes, ["转赠券"]);
    assert.equal(row({ code_tail: "7001" }).code, "券码尾号 7001");
  });

  test("has one sentence for a screen reader", () => {
    const { label } = row({
      title: "双人套餐",
      pay_amount: 4499,
      market_price: 5000,
      expire_time: NOW,
      code_tail: "7001",
    });
    assert.equal(label, "团购券，双人套餐，已付 ¥44.99，门市价 ¥50，有效期至 2026年11月24日，今天到期，券码尾号 7001");
  });
});

test("the line above the list has the number of certificates, and whether there are more", () => {
  assert.deepEqual(
    [countText(0, false), countText(7, false), countText(200, true)],
    ["", "共 7 张可用券", "已找到 200 张可用券"],
  );
});

describe("the store selection", () => {
  const stores: Store[] = [
    { poi_id: "6601", name: "人民广场店", phone: "021-5555-6601", latitude: 31.2327, longitude: 121.4751 },
    { poi_id: "6602", name: "徐家汇店", latitude: 31.1943, longitude: 121.4365 },
    { poi_id: "6603", name: "五角场店", latitude: 31.2988, longitude: 121.5146 },
  ];

  test("omits entries that are not stores", () => {
    const odd = [null, { poi_id: "1" }, { name: "无编号店" }, stores[0]] as Store[];
    assert.deepEqual(listedStores({ account_id: "1", stores: odd }), [stores[0]]);
    assert.deepEqual(listedStores({ account_id: "1" }), []);
  });

  test("is skipped if there is only one store", () => {
    assert.equal(onlyStore(stores), undefined);
    assert.equal(onlyStore([]), undefined);
    assert.equal(onlyStore(stores.slice(1, 2)), stores[1]);
  });

  test("is followed by the store's name and phone, as far as they are known", () => {
    assert.deepEqual(storeHeader("6601", stores), { store: "人民广场店", phone: "021-5555-6601" });
    assert.deepEqual(storeHeader("6602", stores), { store: "徐家汇店", phone: "" });
    assert.deepEqual(storeHeader("6601", []), { store: "当前门店", phone: "" });
  });

  test("offers the distance only if a store has both coordinates", () => {
    assert.ok(canSortByDistance(stores));
    assert.ok(
      !canSortByDistance([
        { poi_id: "1", name: "无位置店" },
        { poi_id: "2", name: "半位置店", latitude: 31 },
      ]),
    );
  });

  test("keeps the merchant's order if the customer's position is unknown", () => {
    assert.deepEqual(
      storeRows(stores).map(({ poi_id, distance }) => [poi_id, distance]),
      [
        ["6601", ""],
        ["6602", ""],
        ["6603", ""],
      ],
    );
  });

  test("starts with the nearest store and ends with stores without a position", () => {
    const customer = { latitude: 31.3, longitude: 121.51 };
    const rows = storeRows([{ poi_id: "1", name: "无位置店" }, ...stores], customer);
    assert.deepEqual(
      rows.map(({ poi_id, distance }) => [poi_id, distance]),
      [
        ["6603", "约 460 米"],
        ["6601", "约 8.2 公里"],
        ["6602", "约 13.7 公里"],
        ["1", ""],
      ],
    );
  });
});
