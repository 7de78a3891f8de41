"""Models of one's own: conversion, measurement against labelled pictures, and the card."""
