/** Your settings: the address of the service, your merchants and their stores. The values below are samples. */

import type { Store } from "./pages/certificates/stores";

export interface Merchant {
  /** Account id in 抖音来客. */
  account_id: string;
  stores: Store[];
}

export const config: { api: string; merchants: Merchant[] } = {
  // Without a trailing slash. The host must be on the mini-program's domain allow-list.
  api: "https://coupons.example.com",
  merchants: [
    {
      account_id: "7296781329369139211",
      stores: [
        { poi_id: "6601", name: "四季小馆·人民广场店", phone: "021-5555-6601", latitude: 31.2327, longitude: 121.4751 },
        { poi_id: "6602", name: "四季小馆·徐家汇店", phone: "021-5555-6602", latitude: 31.1943, longitude: 121.4365 },
        { poi_id: "6603", name: "四季小馆·五角场店", phone: "021-5555-6603", latitude: 31.2988, longitude: 121.5146 },
      ],
    },
    {
      account_id: "7296781329369139222",
      stores: [
        { poi_id: "6604", name: "云上茶饮·静安寺店", latitude: 31.2231, longitude: 121.4453 },
        { poi_id: "6605", name: "云上茶饮·陆家嘴店", latitude: 31.2378, longitude: 121.5025 },
      ],
    },
  ],
};
