/** What `config.ts` can set. */

import type { Certificate } from "./client/client";

export interface Config {
  api: string;
  account_id: string;
  /** Path of this folder in the program; in a subpackage (分包), with the subpackage's root. */
  basePath: string;
  /** The app_id, for hosts without `tt.getEnvInfoSync` (base library older than 2.21.0). */
  appId?: string;
  /** What a customer does when the page cannot help. Default: show the coupon in Douyin's orders. */
  help?: string;
  /** Opens the customer's orders in Douyin: the pages have a button 打开我的订单. Where it fails, the steps take its place. */
  openOrders?: () => unknown;
  /** A page of your program that shows its licences; the list links it as 资质公示. With a slash in front. */
  qualificationPage?: string;
  /**
   * Called before the first request for a list: ask the customer for a consent here. No list is requested before it has
   * returned `true`, or a promise of it; that holds until the program is started again. After any other value, and after an
   * error, the page offers 重试, which calls it again.
   */
  beforeLogin?: () => boolean | Promise<boolean>;
  /**
   * Called when the customer has tapped the button of 券详情: what is asked, redeemed, shown and stored is yours. Read
   * `docs/redeem.zh-CN.md` of this project first. Until its promise is settled, it is not called again; then the list is read
   * again. After any result but `false` (nothing was submitted), this coupon has no button until the program is restarted.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => Promise<unknown>;
  /** The text of that button. Default: 店长点此验券. */
  selectText?: string;
}
