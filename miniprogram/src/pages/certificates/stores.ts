/** Store selection: which store to open, names and distances. Pure functions. */

import type { Merchant, Store } from "../../client/client";

export interface Position {
  latitude: number;
  longitude: number;
}

/** One line of the store selection; `distance` is empty where it is unknown. */
export interface StoreRow {
  poi_id: string;
  name: string;
  distance: string;
}

/** Return the stores that can be shown; none if the merchant does not list its stores. */
export function listedStores(merchant: Merchant): Store[] {
  return (merchant.stores || []).filter((store) => store?.poi_id && store.name);
}

/** Return the only store; undefined if the customer must choose. */
export function onlyStore(stores: Store[]): Store | undefined {
  return stores.length === 1 ? stores[0] : undefined;
}

/** Return the header of a store's list. The store may be unknown: stores are loaded while the list is. */
export function storeHeader(poiId: string, stores: Store[]): { store: string; phone: string } {
  const store = stores.filter(({ poi_id }) => poi_id === poiId)[0];
  return { store: store ? store.name : "当前门店", phone: store?.phone || "" };
}

/** Whether the position of at least one store is known. */
export function canSortByDistance(stores: Store[]): boolean {
  return stores.some((store) => positionOf(store));
}

/** Return the stores by distance from `customer`, nearest first; without a position, in the given order. */
export function storeRows(stores: Store[], customer?: Position): StoreRow[] {
  return stores
    .map((store, index) => ({ store, index, metres: customer ? distance(store, customer) : Number.POSITIVE_INFINITY }))
    .sort((a, b) => (a.metres === b.metres ? a.index - b.index : a.metres - b.metres))
    .map(({ store, metres }) => ({ poi_id: store.poi_id, name: store.name, distance: distanceText(metres) }));
}

const EARTH_RADIUS_M = 6371000;

/** Return the distance in metres (haversine formula); infinity if the store has no position. */
function distance(place: Store, customer: Position): number {
  const store = positionOf(place);
  if (!store) {
    return Number.POSITIVE_INFINITY;
  }
  const radians = Math.PI / 180;
  const height = Math.sin(((store.latitude - customer.latitude) * radians) / 2);
  const width = Math.sin(((store.longitude - customer.longitude) * radians) / 2);
  const cosines = Math.cos(store.latitude * radians) * Math.cos(customer.latitude * radians);
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
  return metres < 1000 ? `约 ${Math.ceil(metres / 10) * 10} 米` : `约 ${(metres / 1000).toFixed(1)} 公里`;
}
