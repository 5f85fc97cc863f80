/**
 * Your settings: the service and your merchant. The values are samples. Keep this file when you update the folder.
 * `settings.ts` describes the others.
 */

import type { Config } from "./settings";

export const config: Config = {
  // The host must be on the mini-program's domain allow-list.
  api: "https://coupons.example.com",
  /** Your account id in 抖音来客. The launch query can name another merchant of this mini-program. */
  account_id: "7100000000000000001",
  basePath: "/coupons",
  appId: "tt0123456789abcdef",
};
