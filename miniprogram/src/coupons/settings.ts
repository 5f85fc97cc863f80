/** What `config.ts` can set. It may be that of an older version of this folder. */

import type { Certificate } from "./client/client";

export interface Config {
  api: string;
  account_id: string;
  /** Path of this folder in the program; in a subpackage (分包), with the subpackage's root. */
  basePath: string;
  /** The app_id, for hosts without `tt.getEnvInfoSync` (base library older than 2.21.0). */
  appId?: string;
  /**
   * What a customer does when the page cannot help: below problems and on 券详情. Default: the coupon is still in Douyin's
   * orders, and can be shown there.
   */
  help?: string;
  /** What 券详情 says without `onSelect`, instead of its steps: 请出示抖音订单, and how. */
  counterText?: string;
  /** With `false`, the pages show no prices: 实付, 门市价. */
  showPrices?: boolean;
  /** What the dialog asks before `onSelect` is called. An empty text: no dialog, because the hook asks itself. */
  question?: string;
  /**
   * Called when the customer has tapped 立即核销 on 券详情 and confirmed it: redeem the certificate here. The button is
   * disabled until the returned promise is settled, for a minute at most; then the list is read again.
   *
   * Resolve to `true` or to nothing if it was submitted; to `false` if nothing was, for example because the customer gave up.
   * After any other value, such as a response, and after an error, the page says that the result is unknown: tt.request calls
   * `success` for every status. Return no promise if you open another page.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => unknown;
}
