/** What `config.ts` can set. */

import type { Certificate } from "./client/client";

export interface Config {
  api: string;
  account_id: string;
  /** Path of this folder in the program; in a subpackage (分包), with the subpackage's root. */
  basePath: string;
  /** The app_id, for hosts without `tt.getEnvInfoSync` (base library older than 2.21.0). */
  appId?: string;
  /** What a customer does when the page cannot help, or shows an order to scan. Default: show the coupon in Douyin's orders. */
  help?: string;
  /** A page of your program that shows its licences; the list links it as 资质公示. With a slash in front. */
  qualificationPage?: string;
  /**
   * Called before the first request for a list: ask the customer for a consent here. No list is requested before it has
   * returned `true`, or a promise of it; that holds until the program is started again. After any other value, and after an
   * error, the page offers 重试, which calls it again.
   */
  beforeLogin?: () => boolean | Promise<boolean>;
  /** With `false`, the pages show no prices: 实付, 门市价. */
  showPrices?: boolean;
  /** What the dialog asks before `onSelect` is called. An empty text: no dialog, because the hook asks itself. */
  question?: string;
  /**
   * Called when the customer has tapped 立即核销 on 券详情 and confirmed it: redeem the certificate here. The page says 等
   * until the returned promise is settled, for a minute at most; then 查, and the list is read again.
   *
   * Resolve to `true` if it was submitted; to `false` if nothing was, for example because the customer gave up. After any
   * other value, such as nothing or a response, and after an error, the page says that the result is unknown: tt.request calls
   * `success` for every status.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => Promise<boolean>;
}
