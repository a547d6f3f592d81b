import type { MapName } from "../generated/index.js";
import { BpfMap } from "../native/index.js";
import { type Maps, mapNames, typedMaps } from "./maps.js";
import type { Pins } from "./pins.js";

/** The maps as they are pinned, for who looks at a datapath from beside its daemon. */
export class PinnedMaps {
  private constructor(
    readonly kernel: ReadonlyMap<MapName, BpfMap>,
    readonly maps: Maps,
  ) {}

  /** @throws NativeError when one is missing or can't be opened */
  static open(pins: Pins): PinnedMaps {
    const kernel = new Map<MapName, BpfMap>();
    try {
      for (const name of mapNames) kernel.set(name, BpfMap.openPinned(pins.map(name)));
    } catch (error) {
      closeAll(kernel);
      throw error;
    }
    return new PinnedMaps(
      kernel,
      typedMaps((name) => kernel.get(name) as BpfMap),
    );
  }

  close(): void {
    closeAll(this.kernel);
  }
}

function closeAll(maps: ReadonlyMap<MapName, BpfMap>): void {
  for (const map of maps.values()) map.close();
}
