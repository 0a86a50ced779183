"""`python -m pywats_station` is `pywats-station`."""

from pywats_station.cli import main

if __name__ == "__main__":
    main()
