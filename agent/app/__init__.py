"""The parts of a box joined: cameras and heads opened, the rooms told of each other."""
