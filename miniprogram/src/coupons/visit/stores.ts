/** Store selection: which store to open, names and distances. Pure functions. */

import type { Store } from "../client/client";

export interface Position {
  latitude: number;
  longitude: number;
}

/** One line of the store selection; texts are empty where they are unknown. */
export interface StoreRow {
  poi_id: string;
  name: string;
  address: string;
  distance: string;
  /** A label of the present store, of the last choice, or of the nearest store; empty for any other store. */
  tag: string;
  /** All texts as one sentence, for a screen reader. */
  label: string;
}

/** Return the only store; undefined if there are several, or none. */
export function onlyStore(stores: Store[]): Store | undefined {
  return stores.length === 1 ? stores[0] : undefined;
}

/** Return the texts about a store. They are empty if it is unknown, also while the stores are still being loaded. */
export function storeHeader(poiId: string, stores: Store[]) {
  const store = stores.filter(({ poi_id }) => poi_id === poiId)[0];
  return { store: store?.name || "", address: addressText(store?.address), phone: store?.phone || "" };
}

/** Return an address that can wrap after its district and after 号. Elsewhere, a break would split a name. */
function addressText(address = ""): string {
  return address.replace(/^.{2,8}?[区县]|号(?=.)/g, "$&\u200b");
}

/**
 * Return the digits of the first telephone number (7 to 12 digits) in a text such as 24小时热线：021-5555-6601 转 8, without
 * the country code; empty if there is none.
 */
export function phoneDigits(phone: string): string {
  // An extension of up to three digits may follow a complete number, as in 021-55556601-8.
  const text = phone.normalize("NFKC").replace(/((?:\d[\s()-]*){10,})-\d{1,3}(?!\d)/, "$1");
  const number = /(?:^|\D)(?:\+86|0086)?[\s()-]*(\d(?:[\s()-]*\d){6,11})(?!\d)/.exec(text);
  return (number?.[1] || "").replace(/\D/g, "");
}

/** Whether the position of at least one store is known. */
export function haveAnyPosition(stores: Store[]): boolean {
  return stores.some((store) => positionOf(store));
}

/** What decides the order and the tags of the stores. Every part may be unknown. */
export interface Listing {
  position?: Position | undefined;
  poiId?: string;
  lastPoiId?: string;
}

/** Return the stores, the nearest first. Without a position: the last choice first, then the given order. */
export function storeRows(stores: Store[], { position, poiId = "", lastPoiId = "" }: Listing): StoreRow[] {
  const tags: { [poiId: string]: string } = { [lastPoiId]: "上次选择", [poiId]: "已选" };
  const rank = ({ poi_id }: Store) => (poi_id === lastPoiId && !position ? 0 : 1);
  return stores
    .map((store, index) => ({ store, index, metres: position ? distance(store, position) : Number.POSITIVE_INFINITY }))
    .sort((a, b) => rank(a.store) - rank(b.store) || (a.metres === b.metres ? a.index - b.index : a.metres - b.metres))
    .map(({ store: { poi_id, name, address = "" }, metres }, index) => {
      const distanceLabel = distanceText(metres);
      const tag = tags[poi_id] || (index === 0 && distanceLabel ? "离您最近" : "");
      const label = [name, tag, distanceLabel, address].filter((text) => text).join("，");
      return { poi_id, name, address: addressText(address), distance: distanceLabel, tag, label };
    });
}

const EARTH_RADIUS_M = 6371000;

/** Return the distance in metres (haversine formula); infinity if the store has no position. */
function distance(store: Store, customer: Position): number {
  const place = positionOf(store);
  if (!place) {
    return Number.POSITIVE_INFINITY;
  }
  const radians = Math.PI / 180;
  const height = Math.sin(((place.latitude - customer.latitude) * radians) / 2);
  const width = Math.sin(((place.longitude - customer.longitude) * radians) / 2);
  const cosines = Math.cos(place.latitude * radians) * Math.cos(customer.latitude * radians);
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(height * height + cosines * width * width));
}

/** Return the position of a store; undefined unless it has both coordinates. */
function positionOf({ latitude, longitude }: Store): Position | undefined {
  return latitude === undefined || longitude === undefined ? undefined : { latitude, longitude };
}

function distanceText(metres: number): string {
  if (metres === Number.POSITIVE_INFINITY) {
    return "";
  }
  return metres < 995 ? `${Math.ceil(metres / 10) * 10} 米` : `${(metres / 1000).toFixed(1)} 公里`;
}
