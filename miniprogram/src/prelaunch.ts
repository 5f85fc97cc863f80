/**
 * Data prefetch (数据预取 JS 方案): at a cold start, Douyin runs this file in an environment of its own. The page's client
 * receives the response when it sends the same request.
 *
 * This file can import nothing. It repeats API and ACCOUNT_ID of `config.ts`, and storage keys, times and requests of
 * `client/client.ts` and the page. `tests/prelaunch.test.ts` fails if they differ.
 */

declare function registerOnPrelaunch(page: string, run: (launch: { query: string }) => void): void;

registerOnPrelaunch("pages/certificates/certificates", ({ query }) => {
  const API = "https://coupons.example.com";
  const ACCOUNT_ID = "7100000000000000001";
  const EXPIRY_MARGIN_MS = 30000;
  const STORES_CACHE_MS = 300000;

  const parameter = (name: string) => {
    const found = new RegExp(`(?:^|[?&])${name}=([^&]+)`).exec(query);
    return found ? decodeURIComponent(found[1] as string) : "";
  };
  const prefetch = (path: string[], header: object) => {
    const url = [API, "v1", "merchants", ...path.map(encodeURIComponent)].join("/");
    const request = { url, method: "GET" as const, header, usePrefetchCache: true };
    tt.request(request);
  };

  const account = parameter("account_id") || ACCOUNT_ID;
  const store = parameter("poi_id") || tt.getStorageSync(`redemption.store.${account}`);
  const session = Object(tt.getStorageSync("redemption.session"));
  const age = Date.now() - Object(tt.getStorageSync(`redemption.stores.${account}`)).readAt;
  if (store && session.endsAt - EXPIRY_MARGIN_MS > Date.now()) {
    prefetch([account, "stores", store, "certificates"], { authorization: `Bearer ${session.token}` });
  } else if (!(age >= 0 && age < STORES_CACHE_MS)) {
    prefetch([account, "stores"], {});
  }
});
