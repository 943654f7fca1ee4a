{
 "patcher": {
  "fileversion": 1,
  "appversion": {
   "major": 8,
   "minor": 5,
   "revision": 0,
   "architecture": "x64",
   "modernui": 1
  },
  "classnamespace": "box",
  "rect": [
   80,
   80,
   720,
   580
  ],
  "boxes": [
   {
    "box": {
     "id": "about",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20,
      15,
      640,
      22
     ],
     "text": "ACE-Step in Max: start the daemon (acestep serve), switch the sound on, click a prompt. The newest clip is looped."
    }
   },
   {
    "box": {
     "id": "p1",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      20,
      55,
      300,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "/acestep/generate \"dusty boom bap drums\""
    }
   },
   {
    "box": {
     "id": "p2",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      20,
      87,
      300,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "/acestep/generate \"drum fill, toms and snare\""
    }
   },
   {
    "box": {
     "id": "p3",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      20,
      119,
      300,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "/acestep/generate \"warm analog pad\""
    }
   },
   {
    "box": {
     "id": "load",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      360,
      55,
      70,
      22
     ],
     "outlettype": [
      "bang"
     ],
     "text": "loadbang"
    }
   },
   {
    "box": {
     "id": "hello",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      360,
      87,
      200,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "/acestep/session max"
    }
   },
   {
    "box": {
     "id": "subscribe",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      360,
      119,
      200,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "/acestep/subscribe 9132"
    }
   },
   {
    "box": {
     "id": "tempo",
     "maxclass": "flonum",
     "numinlets": 1,
     "numoutlets": 2,
     "patching_rect": [
      20,
      155,
      80,
      22
     ],
     "outlettype": [
      "",
      ""
     ],
     "minimum": 30.0,
     "maximum": 300.0
    }
   },
   {
    "box": {
     "id": "ptempo",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20,
      185,
      160,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "prepend /acestep/tempo"
    }
   },
   {
    "box": {
     "id": "bars",
     "maxclass": "flonum",
     "numinlets": 1,
     "numoutlets": 2,
     "patching_rect": [
      200,
      155,
      80,
      22
     ],
     "outlettype": [
      "",
      ""
     ],
     "minimum": 1.0,
     "maximum": 64.0
    }
   },
   {
    "box": {
     "id": "pbars",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      200,
      185,
      160,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "prepend /acestep/bars"
    }
   },
   {
    "box": {
     "id": "send",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20,
      230,
      200,
      22
     ],
     "text": "udpsend 127.0.0.1 9127"
    }
   },
   {
    "box": {
     "id": "receive",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20,
      280,
      200,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "udpreceive 9132"
    }
   },
   {
    "box": {
     "id": "route",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 4,
     "patching_rect": [
      20,
      310,
      420,
      22
     ],
     "outlettype": [
      "",
      "",
      "",
      ""
     ],
     "text": "route /acestep/progress /acestep/clip /acestep/error"
    }
   },
   {
    "box": {
     "id": "progress",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 4,
     "patching_rect": [
      20,
      345,
      140,
      22
     ],
     "outlettype": [
      "",
      "",
      "",
      ""
     ],
     "text": "unpack s s 0. 0."
    }
   },
   {
    "box": {
     "id": "bar",
     "maxclass": "slider",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20,
      380,
      140,
      20
     ],
     "outlettype": [
      ""
     ],
     "floatoutput": 1,
     "size": 1.0,
     "orientation": 1
    }
   },
   {
    "box": {
     "id": "clip",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 7,
     "patching_rect": [
      180,
      345,
      180,
      22
     ],
     "outlettype": [
      "",
      "",
      "",
      "",
      "",
      "",
      ""
     ],
     "text": "unpack s s 0. s s 0. 0."
    }
   },
   {
    "box": {
     "id": "replace",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      180,
      380,
      140,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "prepend replace"
    }
   },
   {
    "box": {
     "id": "buffer",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 2,
     "patching_rect": [
      180,
      412,
      140,
      22
     ],
     "outlettype": [
      "",
      ""
     ],
     "text": "buffer~ acestep"
    }
   },
   {
    "box": {
     "id": "error",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      400,
      345,
      120,
      22
     ],
     "text": "print acestep"
    }
   },
   {
    "box": {
     "id": "start",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      340,
      412,
      60,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "t 0"
    }
   },
   {
    "box": {
     "id": "groove",
     "maxclass": "newobj",
     "numinlets": 3,
     "numoutlets": 3,
     "patching_rect": [
      180,
      450,
      200,
      22
     ],
     "outlettype": [
      "",
      "",
      ""
     ],
     "text": "groove~ acestep 2 @loop 1"
    }
   },
   {
    "box": {
     "id": "speed",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20,
      450,
      80,
      22
     ],
     "outlettype": [
      ""
     ],
     "text": "sig~ 1."
    }
   },
   {
    "box": {
     "id": "dac",
     "maxclass": "ezdac~",
     "numinlets": 2,
     "numoutlets": 0,
     "patching_rect": [
      180,
      490,
      45,
      45
     ]
    }
   }
  ],
  "lines": [
   {
    "patchline": {
     "source": [
      "p1",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "p2",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "p3",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "load",
      0
     ],
     "destination": [
      "hello",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "hello",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "load",
      0
     ],
     "destination": [
      "subscribe",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "subscribe",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "tempo",
      0
     ],
     "destination": [
      "ptempo",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "ptempo",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "bars",
      0
     ],
     "destination": [
      "pbars",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "pbars",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "receive",
      0
     ],
     "destination": [
      "route",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      0
     ],
     "destination": [
      "progress",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "progress",
      2
     ],
     "destination": [
      "bar",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      1
     ],
     "destination": [
      "clip",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "clip",
      1
     ],
     "destination": [
      "replace",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "replace",
      0
     ],
     "destination": [
      "buffer",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      2
     ],
     "destination": [
      "error",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "buffer",
      1
     ],
     "destination": [
      "start",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "start",
      0
     ],
     "destination": [
      "groove",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "speed",
      0
     ],
     "destination": [
      "groove",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "groove",
      0
     ],
     "destination": [
      "dac",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "groove",
      1
     ],
     "destination": [
      "dac",
      1
     ]
    }
   }
  ]
 }
}
